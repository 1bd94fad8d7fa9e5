"""Load a model and its tokenizer (safetensors only), or build a tiny one; choose device and precision."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from ..config import config as settings
from ..config.methods import AnyMethod, QLora, soft_prompt_tokens
from ..console import counted
from ..errors import UserError
from ..hub.client import HUB_NAME, first_line, require_on_hub
from ..hub.manifest import default_folder, find_manifest
from ..tasks.base import E, Task
from ..tasks.settings import Settings
from .quantization import quantization_of
from .tiny import is_tiny, tiny_config, tiny_tokenizer

SUGGESTED = {
    "AutoModelForCausalLM": "choose a decoder such as openai-community/gpt2, or tiny:gpt2",
    "AutoModelForSeq2SeqLM": "choose an encoder-decoder such as google-t5/t5-small, or tiny:t5",
    "AutoModelForSequenceClassification": "choose an encoder such as google-bert/bert-base-cased, or tiny:bert",
    "AutoModelForTokenClassification": "choose an encoder such as google-bert/bert-base-cased, or tiny:bert",
}


def load_tokenizer(model: settings.Model, task: Task[E, Any], examples: Sequence[E]) -> Any:
    """The tokenizer of `model.name`; one for a tiny model is trained on the texts of `examples`.

    Raises UserError if there is no such model or no token to pad with.
    """
    if is_tiny(model.name):
        return tiny_tokenizer(model.name, task.texts(examples), task.splits_into_words)
    is_here = Path(model.name).is_dir() or find_manifest(model)
    if not is_here and HUB_NAME.fullmatch(model.name):
        require_on_hub(model.name, model.revision)
    tokenizer = load_pretrained(transformers.AutoTokenizer, model)
    if task.splits_into_words and getattr(tokenizer, "add_prefix_space", None) is False:
        # Byte-level tokenizers write a space into the word that follows it.
        tokenizer = load_pretrained(transformers.AutoTokenizer, model, add_prefix_space=True)
    if tokenizer.pad_token_id is None:  # decoders are trained without; what stands there is masked and not scored
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token_id is None:
        raise UserError(
            f"model.name: the tokenizer of '{model.name}' has neither a padding token nor one that ends a text: "
            f"choose another model"
        )
    return tokenizer


def load_model(model: settings.Model, task: Task[Any, Any], tokenizer: Any, method: AnyMethod) -> tuple[Any, list[str]]:
    """A model with the task's head, in fp32 and on the CPU; and the modules of its body that the checkpoint lacks.

    What is new is drawn from torch's random numbers. Raises UserError if there is no such model, if it is of another
    kind or its weights do not fit, or if it cannot read `max_length` tokens and those that the method puts before them.
    """
    auto = getattr(transformers, task.settings.auto_model)
    options = {**task.model_options(), "attn_implementation": model.attention, "pad_token_id": tokenizer.pad_token_id}
    if is_tiny(model.name):
        config = tiny_config(model.name, tokenizer, model.max_length + soft_prompt_tokens(method), **options)
        require_kind(task.settings, config, model.name)
        return auto.from_config(config), []
    config = load_pretrained(transformers.AutoConfig, model, **options)
    require_kind(task.settings, config, model.name)
    if isinstance(method, QLora):
        options["quantization_config"] = quantization_of(method, auto, config)
    loaded, info = load_pretrained(
        auto,
        model,
        dtype=torch.float32,
        use_safetensors=True,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        **options,
    )
    _require_body(loaded, info, model.name)
    _require_length(loaded, model, soft_prompt_tokens(method))
    _require_vocabulary(loaded, tokenizer, model.name)
    poolers = {f"{key.split('.pooler.')[0]}.pooler" for key in info["missing_keys"] if ".pooler." in key}
    return loaded, sorted(poolers)


def load_pretrained(auto: Any, model: settings.Model, **options: Any) -> Any:
    """`auto.from_pretrained`, of what was fetched if it was, with one sentence for whatever keeps it from loading."""
    source = str(default_folder(model.name)) if find_manifest(model) else model.name
    try:
        return auto.from_pretrained(
            source, revision=model.revision or "main", trust_remote_code=model.trust_remote_code, **options
        )
    except (OSError, ValueError, ImportError) as error:
        raise UserError(_why_not(source, error)) from error


def _why_not(name: str, error: Exception) -> str:
    reason = first_line(error)
    if Path(name).is_dir():
        return (
            f"model.name: the folder '{name}' cannot be loaded ({reason}): "
            f"it needs config.json, model.safetensors and a tokenizer"
        )
    if HUB_NAME.fullmatch(name):
        return f"model.name: '{name}' cannot be loaded from the Hub ({reason}): choose a model with safetensors weights"
    return f"model.name: there is no folder '{name}': correct the path"


def require_kind(task: Settings, config: Any, name: str) -> None:
    """Refuse a model that was not made for what the task asks of it, where transformers would load it all the same."""
    fits = _is_known(config, task.auto_model)
    # Encoders have heads for causal language models too, and would see the very tokens that they are to foresee.
    if task.auto_model == "AutoModelForCausalLM":
        fits = fits and not _is_known(config, "AutoModelForMaskedLM") and not _is_known(config, "AutoModelForSeq2SeqLM")
    if not fits and not hasattr(config, "auto_map"):
        raise UserError(
            f"model.name: '{name}' is a {config.model_type} model, which is not made for this task: "
            f"{SUGGESTED[task.auto_model]}"
        )


def _is_known(config: Any, auto_model: str) -> bool:
    return type(config) in getattr(transformers, auto_model)._model_mapping


def _require_vocabulary(model: Any, tokenizer: Any, name: str) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise UserError(
            f"model.name: the tokenizer of '{name}' has {len(tokenizer):,} tokens, but the model knows {rows:,}: "
            f"they do not belong together"
        )


def _require_body(model: Any, info: dict[str, Any], name: str) -> None:
    """Only a head, or the pooler before it, may start from random weights: anything else is a wrong checkpoint."""
    prefix = f"{model.base_model_prefix}."
    body = [key for key in info["missing_keys"] if key.startswith(prefix) and ".pooler." not in key]
    if body:
        raise UserError(
            f"model.name: '{name}' lacks {counted(len(body), 'weight')} of the model, such as {body[0]}: "
            f"choose a checkpoint of a {model.config.model_type} model"
        )


def _require_length(model: Any, settings: settings.Model, added: int) -> None:
    limit = getattr(model.config, "max_position_embeddings", None)
    table = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    if limit and table is not None and table.padding_idx is not None:
        limit -= table.padding_idx + 1  # RoBERTa counts positions from behind its padding index.
    if limit and settings.max_length + added > limit:
        beside = f", of which the method takes {added}" if added else ""
        raise UserError(
            f"model.max_length: {settings.max_length} is more than the {limit} tokens that '{settings.name}' can read"
            f"{beside}: lower it to {limit - added}"
        )
