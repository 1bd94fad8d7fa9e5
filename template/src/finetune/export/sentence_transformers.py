"""The files of sentence-transformers beside a bi-encoder; Text Embeddings Inference, vLLM and others read them, too."""

import json
from pathlib import Path
from typing import Any

from ..run.saved_model import SavedModel
from ..tasks.settings import Retrieval

MODES = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token", "last": "pooling_mode_lasttoken"}
OTHERS = ("pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens", "pooling_mode_weightedmean_tokens")
PACKAGE = "sentence_transformers.models"
"""The name of its modules that every version reads."""


def write_modules(target: Path, saved: SavedModel) -> None:
    """Let sentence-transformers load the folder of a bi-encoder: its tokens, pooling, norm 1 and prefixes."""
    settings: Retrieval = saved.task.settings  # type: ignore[assignment]
    width = saved.model.config.get_text_config().hidden_size
    modes = {mode: mode == MODES[settings.pooling] for mode in (*MODES.values(), *OTHERS)}
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    files: dict[str, Any] = {
        "modules.json": [
            {"idx": number, "name": str(number), "path": path, "type": f"{PACKAGE}.{name}"}
            for number, (path, name) in enumerate(modules)
        ],
        "sentence_bert_config.json": {"max_seq_length": saved.max_length, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": width, **modes, "include_prompt": True},
        "config_sentence_transformers.json": {
            "prompts": settings.prefixes.model_dump(),
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    }
    for name, content in files.items():
        path = target / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (target / "2_Normalize").mkdir()
