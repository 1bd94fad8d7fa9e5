"""Load a model and its tokenizer (safetensors only), or build a tiny one; choose device and precision."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import transformers

from . import config as settings
from .config_methods import AnyMethod, QLora, virtual_tokens
from .errors import UserError
from .fetched import default_folder, find_fetched
from .hub import HUB_NAME, first_line, require_on_hub
from .quantization import bytes_of, numbers_in, quantization_of
from .tasks import Task
from .tasks.base import E
from .tiny import is_tiny, tiny_config, tiny_tokenizer
from .wording import counted

MIB = 2**20
SUGGESTED = {
    "AutoModelForCausalLM": "choose a decoder such as openai-community/gpt2, or tiny:gpt2",
    "AutoModelForSeq2SeqLM": "choose an encoder-decoder such as google-t5/t5-small, or tiny:t5",
    "AutoModelForSequenceClassification": "choose an encoder such as google-bert/bert-base-cased, or tiny:bert",
    "AutoModelForTokenClassification": "choose an encoder such as google-bert/bert-base-cased, or tiny:bert",
}


def choose_device(wanted: str) -> torch.device:
    """The device that `train.device` asks for. Raises UserError where the machine does not have it."""
    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name in has if has[name]))
    if not has[wanted]:
        raise UserError(f"train.device: '{wanted}' is not available here: use auto, or see `finetune doctor`")
    return torch.device(wanted)


def uses_bf16(precision: str, device: torch.device, hidden_size: int) -> bool:
    """Whether the forward pass runs in bf16: where asked for, or where the hardware multiplies it faster than fp32."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        # Small matrices lose more by the conversion than the instruction gains.
        supported = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return bool(supported) and hidden_size >= 512
    return False


def autocast(bf16: bool, device: torch.device) -> Any:
    """Context of the forward pass; the weights, the loss and the optimizer stay in fp32."""
    return torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext()


def load_tokenizer(model: settings.Model, task: Task[E, Any], examples: Sequence[E]) -> Any:
    """The tokenizer of `model.name`; one for a tiny model is trained on the texts of `examples`.

    Raises UserError if there is no such model or no token to pad with.
    """
    if is_tiny(model.name):
        return tiny_tokenizer(model.name, task.texts(examples), task.splits_into_words)
    is_here = Path(model.name).is_dir() or find_fetched(model)
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
    auto = getattr(transformers, task.auto_model)
    options = {**task.model_options(), "attn_implementation": model.attention, "pad_token_id": tokenizer.pad_token_id}
    if is_tiny(model.name):
        config = tiny_config(model.name, tokenizer, model.max_length + virtual_tokens(method), **options)
        require_kind(task, config, model.name)
        return auto.from_config(config), []
    config = load_pretrained(transformers.AutoConfig, model, **options)
    require_kind(task, config, model.name)
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
    _require_length(loaded, model, virtual_tokens(method))
    _require_vocabulary(loaded, tokenizer, model.name)
    poolers = {f"{key.split('.pooler.')[0]}.pooler" for key in info["missing_keys"] if ".pooler." in key}
    return loaded, sorted(poolers)


def parameter_counts(model: torch.nn.Module) -> tuple[int, int]:
    """Numbers of trained and of all parameters; one that two modules share counts once."""
    sizes = [(numbers_in(parameter), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)


def memory(model: torch.nn.Module, states: int) -> dict[str, float]:
    """MiB that weights, gradients and the optimizer's state take; it keeps `states` numbers for a trained weight."""
    sizes = [(bytes_of(parameter), parameter.requires_grad) for parameter in model.parameters()]
    trained = sum(size for size, is_trained in sizes if is_trained) / MIB
    return {
        "weights": sum(size for size, _ in sizes) / MIB,
        "gradients": trained,
        "the optimizer's state": trained * states,
    }


def load_pretrained(auto: Any, model: settings.Model, **options: Any) -> Any:
    """`auto.from_pretrained`, of what was fetched if it was, with one sentence for whatever keeps it from loading."""
    source = str(default_folder(model.name)) if find_fetched(model) else model.name
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


def require_kind(task: Task[Any, Any], config: Any, name: str) -> None:
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
