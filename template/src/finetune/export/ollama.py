"""The Modelfile, from which `ollama create` makes a model."""

from pathlib import Path
from typing import Any

from ..run.saved_model import SavedModel

FILE = "Modelfile"
GGUF = "model.gguf"
DOCUMENTED = (
    *("llama", "mistral", "mixtral", "gemma", "gemma2", "phi3"),  # versions that convert a folder to GGUF themselves
    *("gemma4", "gemma4_text", "laguna", "qwen3", "qwen3_moe", "qwen3_5", "qwen3_5_text", "qwen3_5_moe"),
    *("qwen3_5_moe_text", "qwen3_next"),  # versions that run a folder by MLX
)
"""Architectures (`model_type`) of which Ollama's documentation says that it imports a folder of safetensors."""


def reads_folder(model_type: str) -> bool:
    """Whether Ollama is documented to import a folder with a model of this architecture."""
    return model_type in DOCUMENTED


def write_modelfile(target: Path, saved: SavedModel) -> None:
    """Write `Modelfile` with `FROM .` if Ollama imports the architecture, else with the GGUF file of llama.cpp."""
    source = "." if reads_folder(saved.model.config.model_type) else f"./{GGUF}"
    settings = saved.task.settings.generation  # type: ignore[attr-defined]
    parameters: list[tuple[str, Any]] = [
        ("num_ctx", saved.max_length),
        ("num_predict", settings.max_new_tokens),
        ("temperature", settings.temperature),
        ("top_p", settings.top_p),
        *(("stop", f'"{token}"') for token in saved.tokenizer.convert_ids_to_tokens(saved.task.stop_tokens)),
    ]
    lines = [f"FROM {source}", *(f"PARAMETER {name} {value}" for name, value in parameters)]
    (target / FILE).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
