"""Load a pretrained model and its tokenizer (safetensors only), or create a tiny one."""

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
from ..tasks.settings import Seq2SeqSettings, Settings
from .pretrained_head import PretrainedHead, fit_head, matching_rows
from .quantization import quantization_config
from .remote_code import refused_code, require_pinned_code
from .tiny import is_tiny, tiny_config, tiny_tokenizer

SUGGESTED = {
    "AutoModelForCausalLM": "choose a decoder such as openai-community/gpt2, or tiny:gpt2",
    "AutoModelForSeq2SeqLM": "choose an encoder-decoder such as google-t5/t5-small, or tiny:t5",
    "AutoModelForSequenceClassification": "choose an encoder such as google-bert/bert-base-cased, or tiny:bert",
    "AutoModelForTokenClassification": "choose an encoder such as google-bert/bert-base-cased, or tiny:bert",
}
LABELS = ("num_labels", "id2label", "label2id")
"""Options of a model's config that name its labels."""

UNFIT = {
    **dict.fromkeys(["bros", "layoutlmv2", "layoutlmv3", "lilt"], "reads the place of each word on a page as well"),
    **dict.fromkeys(["musicgen", "musicgen_melody"], "generates sound"),
    **dict.fromkeys(["gemma4_assistant", "gemma4_unified_assistant"], "drafts tokens for a larger model"),
    **dict.fromkeys(["emu3", "mllama"], "transformers cannot load again once it is saved as a model of text alone"),
    "blt": "transformers cannot generate with",
    "markuplm": "reads the place of each word in an HTML page as well",
    "reformer": "is trained on texts of one fixed length",
    "tapas": "reads a table as well",
    "xmod": "needs to be told the language of each text",
}
"""Architectures that transformers has for a task's head, but that cannot be trained on texts alone, and why."""

FEWEST_TOKENS = 5
"""Tokens that any vocabulary has. Without its files transformers makes a tokenizer of little but special tokens."""

LFS_POINTER = b"version https://git-lfs.github.com/spec/"

BIDIRECTIONAL = ("bert-generation", "cpmant", "xlnet")
"""Other architectures with a causal head whose attention sees the tokens to predict."""


def load_tokenizer(model: settings.Model, task: Task[E, Any], examples: Sequence[E]) -> Any:
    """The tokenizer of `model.name`; that of a tiny model is trained on the texts of `examples`.

    Raises UserError if the model is not found, its architecture does not fit the task, or the tokenizer has no padding
    token.
    """
    if is_tiny(model.name):
        return tiny_tokenizer(model.name, task.texts(examples), task.splits_into_words)
    is_local = Path(model.name).is_dir() or find_manifest(model)
    if not is_local and HUB_NAME.fullmatch(model.name):
        require_on_hub(model.name, model.revision)
    require_architecture(task.settings, load_pretrained(transformers.AutoConfig, model), model.name)
    tokenizer = load_pretrained(transformers.AutoTokenizer, model)
    if task.splits_into_words and getattr(tokenizer, "add_prefix_space", None) is False:
        # A byte-level tokenizer encodes a space as part of the word after it.
        tokenizer = load_pretrained(transformers.AutoTokenizer, model, add_prefix_space=True)
    if len(tokenizer) - len({*tokenizer.all_special_ids}) < FEWEST_TOKENS:
        raise UserError(
            f"model.name: '{model.name}' has no vocabulary of a tokenizer, such as tokenizer.json: copy the "
            f"tokenizer's files from the model that it was trained from"
        )
    if tokenizer.pad_token_id is None:  # most decoders have none; padding is masked and not scored
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token_id is None:
        raise UserError(
            f"model.name: the tokenizer of '{model.name}' has neither a padding token nor an end-of-sequence token: "
            f"choose another model"
        )
    return tokenizer


def load_model(
    model: settings.Model, task: Task[Any, Any], tokenizer: Any, method: AnyMethod
) -> tuple[Any, list[str], PretrainedHead | None]:
    """A model with the task's head, in fp32 on the CPU; the modules of its base model that the checkpoint lacks; and
    what its head started from, None where there is no checkpoint or the task has no head of its own.

    New weights are initialized from torch's random number generator. Raises UserError if the model is not found, its
    architecture does not fit the task, its checkpoint lacks weights, or `max_length` and the method's virtual tokens
    exceed its maximum length.
    """
    auto = getattr(transformers, task.settings.auto_model)
    options = {**task.model_options(), "pad_token_id": tokenizer.pad_token_id}
    if is_tiny(model.name):
        length = model.max_length + soft_prompt_tokens(method)
        config = tiny_config(model.name, tokenizer, length, attn_implementation=model.attn_implementation, **options)
        require_architecture(task.settings, config, model.name)
        return auto.from_config(config), [], None
    checkpoint = load_pretrained(transformers.AutoConfig, model)
    rows = matching_rows(checkpoint, task.model_options())
    if rows is not None:  # rows of the checkpoint's own head
        options = {name: value for name, value in options.items() if name not in LABELS}
    config = load_model_config(model, **options)
    require_architecture(task.settings, config, model.name)
    quantization = {}
    if isinstance(method, QLora):
        quantization["quantization_config"] = quantization_config(method, auto, config)
    loaded, info = load_pretrained(
        auto,
        model,
        config=config,
        dtype=torch.float32,
        use_safetensors=True,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        **quantization,
    )
    _require_pretrained_weights(loaded, info, model.name)
    _require_max_length(loaded, task.settings, model, soft_prompt_tokens(method))
    _require_vocabulary(loaded, tokenizer, model.name)
    poolers = {f"{key.split('.pooler.')[0]}.pooler" for key in info["missing_keys"] if ".pooler." in key}
    head = fit_head(loaded, info, checkpoint, task.model_options(), rows) if task.settings.new_head else None
    return loaded, sorted(poolers), head


def load_model_config(model: settings.Model, **options: Any) -> Any:
    """The config of a model, with `model.attention`. Raises UserError if it cannot be loaded."""
    config = load_pretrained(transformers.AutoConfig, model, **options)
    # None as well: a config.json may name an attention kernel, which transformers would download and run.
    config._attn_implementation = model.attn_implementation
    return config


def load_pretrained(auto: Any, model: settings.Model, **options: Any) -> Any:
    """`auto.from_pretrained` from the fetched folder if there is one, else by name. Raises UserError if it fails."""
    source = str(default_folder(model.name)) if find_manifest(model) else model.name
    revision = model.revision or "main"
    try:
        if model.trust_remote_code:
            require_pinned_code(source, revision)
        return auto.from_pretrained(source, revision=revision, trust_remote_code=model.trust_remote_code, **options)
    except Exception as error:  # transformers has one of any class for a file that it cannot read
        from_code = model.trust_remote_code and not isinstance(error, OSError | ValueError | ImportError)
        if from_code or isinstance(error, torch.OutOfMemoryError):
            raise
        refused = None if model.trust_remote_code else refused_code(source, revision)
        raise refused or _load_error(source, error) from error


def set_attention(model: Any, wanted: settings.Model) -> None:
    """Change the attention implementation of a loaded model to `wanted.attention`.

    Raises UserError if the architecture does not have it.
    """
    try:
        model.set_attn_implementation(model.get_correct_attn_implementation(wanted.attn_implementation))
    except ValueError as error:
        raise _load_error(wanted.name, error) from error


def _load_error(source: str, error: Exception) -> UserError:
    named = "" if isinstance(error, OSError | ValueError | ImportError) else f"{type(error).__name__}: "
    reason = f"{named}{first_line(error)}"
    if "scaled_dot_product_attention" in reason:  # transformers says so for the model, or for a part of it
        return UserError(f"model.attention: the architecture of '{source}' has no sdpa: set it to auto, or to eager")
    if isinstance(error, ImportError):
        return UserError(f"model.name: '{source}' needs a package that is not installed ({reason}): install it")
    if pointer := next(filter(_is_lfs_pointer, Path(source).glob("*")), None):
        return UserError(
            f"model.name: {pointer} is a pointer of Git LFS, not the file itself: run `git lfs pull` in that folder, "
            f"or download the model with `finetune fetch`"
        )
    if Path(source, "best", "config.json").is_file():
        return UserError(
            f"model.name: '{source}' is the folder of a run: name {source}/best, or set continue_from to it"
        )
    if Path(source, "adapter_config.json").is_file():
        return UserError(
            f"model.name: '{source}' holds an adapter, not a whole model: set continue_from to its run, or name the "
            f"folder that `finetune export` makes of it"
        )
    if Path(source).is_dir():
        return UserError(
            f"model.name: the folder '{source}' cannot be loaded ({reason}): "
            f"it needs config.json, model.safetensors and a tokenizer"
        )
    if HUB_NAME.fullmatch(source):
        return UserError(
            f"model.name: '{source}' cannot be loaded from the Hub ({reason}): choose a model with safetensors weights"
        )
    return UserError(f"model.name: there is no folder '{source}': correct the path")


def _is_lfs_pointer(path: Path) -> bool:
    """Whether a file is what a clone without Git LFS has in the place of a large file."""
    return path.is_file() and path.stat().st_size < 1000 and path.read_bytes().startswith(LFS_POINTER)


def require_architecture(task: Settings, config: Any, name: str) -> None:
    """Raise UserError if the architecture does not fit the task; transformers would load some of these models."""
    fits = _is_known(config, task.auto_model)
    if task.auto_model == "AutoModelForSeq2SeqLM":  # transformers has models of speech there that have no encoder
        fits = fits and config.is_encoder_decoder
    if task.auto_model == "AutoModelForCausalLM":
        # transformers has causal heads for encoders too, whose attention would see the tokens to predict.
        encoder = _is_known(config, "AutoModelForMaskedLM") or _is_known(config, "AutoModelForSeq2SeqLM")
        fits = fits and not encoder and config.model_type not in BIDIRECTIONAL
    if not fits and task.auto_model not in (getattr(config, "auto_map", None) or {}):
        raise UserError(
            f"model.name: '{name}' is a {config.model_type} model, which does not fit this task: "
            f"{SUGGESTED[task.auto_model]}"
        )
    if reason := UNFIT.get(config.model_type):
        raise UserError(
            f"model.name: '{name}' is a {config.model_type} model, which {reason}: {SUGGESTED[task.auto_model]}"
        )


def _is_known(config: Any, auto_model: str) -> bool:
    return type(config) in getattr(transformers, auto_model)._model_mapping


def _require_vocabulary(model: Any, tokenizer: Any, name: str) -> None:
    embeddings = _embeddings(model)
    if embeddings and len(tokenizer) > embeddings:
        raise UserError(
            f"model.name: the tokenizer of '{name}' has {len(tokenizer):,} tokens, but the model has {embeddings:,} "
            f"embeddings: choose a model whose tokenizer belongs to it"
        )


def _embeddings(model: Any) -> int:
    """Number of tokens that a model has embeddings for; 0 if it has none of its own, as CANINE and Perceiver."""
    try:
        table = model.get_input_embeddings()
    except NotImplementedError:
        return 0
    return len(table.weight) if hasattr(table, "weight") else 0


def _require_pretrained_weights(model: Any, info: dict[str, Any], name: str) -> None:
    """Raise UserError if the checkpoint lacks weights other than those of the head and the pooler."""
    prefix = f"{model.base_model_prefix}."
    missing = [key for key in info["missing_keys"] if key.startswith(prefix) and ".pooler." not in key]
    if missing:
        raise UserError(
            f"model.name: '{name}' lacks {counted(len(missing), 'weight')} of the model, such as {missing[0]}: "
            f"choose a checkpoint of a {model.config.model_type} model"
        )


def _require_max_length(model: Any, task: Settings, settings: settings.Model, added: int) -> None:
    if limit := _limit(model, "encoder"):
        table = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
        if (padding := getattr(table, "padding_idx", None)) is not None:
            limit -= padding + 1  # RoBERTa's position ids start after its padding index.
        if settings.max_length + added > limit:
            virtual = f", of which the method takes {added}" if added else ""
            raise UserError(
                f"model.max_length: {settings.max_length} exceeds the maximum of {limit} tokens of '{settings.name}'"
                f"{virtual}: lower it to {limit - added}"
            )
    if isinstance(task, Seq2SeqSettings) and (limit := _limit(model, "decoder")):
        wanted = {
            "max_target_length": task.max_target_length,
            "generation.max_new_tokens": task.generation.max_new_tokens,
        }
        for key, length in wanted.items():
            if length > limit:
                raise UserError(
                    f"task.{key}: {length} exceeds the maximum of {limit} tokens that '{settings.name}' generates: "
                    f"lower it to {limit}"
                )


def _limit(model: Any, side: str) -> int:
    """Largest number of positions of the encoder or the decoder; 0 if there is no limit, which some configs give as -1.

    A model with only one of the two has the same limit for both.
    """
    config = getattr(model.config, side, None) or model.config.get_text_config()
    names = (f"max_{side}_position_embeddings", "max_position_embeddings", "max_seq_len", "max_target_positions")
    limits = (getattr(config, name, None) for name in names)
    return max(0, next((limit for limit in limits if isinstance(limit, int)), 0))
