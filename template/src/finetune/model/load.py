"""Load a pretrained model and its tokenizer (safetensors only), or create a tiny one."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers

from ..config import config as settings
from ..config.methods import AnyMethod, QLora, soft_prompt_tokens
from ..errors import UserError
from ..hub.manifest import default_folder, find_manifest
from ..hub_client import HUB_NAME, first_line, require_on_hub
from ..tasks.base import E, Task
from .device import Precision
from .folder_checks import ANEW, CONFIG, damage, require_fitting_size, require_sound_settings, require_sound_weights
from .foreign_files import refused_adapter, require_own_tokenizer
from .frozen import loaded_in
from .fused_gelu import fuse_gelu
from .layers import head_modules
from .pretrained_head import PretrainedHead, fit_head, matching_rows
from .quantization import quantization_config
from .remote_code import refused_code, require_pinned_code
from .requirements import (
    require_architecture,
    require_max_length,
    require_pretrained_weights,
    require_target_length,
    require_vocabulary,
)
from .tiny import is_tiny, tiny_config, tiny_tokenizer
from .unread import files_to_read_later, load_unread

LABELS = ("num_labels", "id2label", "label2id")
"""Options of a model's config that name its labels."""

FILES = {transformers.AutoConfig: CONFIG, transformers.AutoTokenizer: "tokenizer.json or tokenizer_config.json"}
"""What a class reads of a model folder, by the usual names of the files."""
WEIGHTS = f"{CONFIG} or model.safetensors"

FEWEST_TOKENS = 5
"""Tokens that any vocabulary has. Without its files transformers makes a tokenizer of little but special tokens."""


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
    with _errors_of(model, FILES[transformers.AutoTokenizer]):  # an unknown token without a number has no end
        tokens = len(tokenizer) - len({*tokenizer.all_special_ids})
        if tokenizer.pad_token_id is None:  # most decoders have none; padding is masked and not scored
            tokenizer.pad_token = tokenizer.eos_token
    if tokens < FEWEST_TOKENS:
        raise UserError(
            f"model.name: '{model.name}' has no vocabulary of a tokenizer, such as tokenizer.json: copy the "
            f"tokenizer's files from the model that it was trained from"
        )
    if tokenizer.pad_token_id is None:
        raise UserError(
            f"model.name: the tokenizer of '{model.name}' has neither a padding token nor an end-of-sequence token: "
            f"choose another model"
        )
    return tokenizer


def load_model(
    model: settings.Model,
    task: Task[Any, Any],
    tokenizer: Any,
    method: AnyMethod,
    dtype: Precision = "fp32",
    to_shard: bool = False,
) -> tuple[Any, list[str], PretrainedHead | None]:
    """A model with the task's head, on the CPU, in fp32 but for what `frozen.loaded_in` loads in `dtype`; the modules
    of its base model that the checkpoint lacks; and what its head started from, None where there is no checkpoint or
    the task has no head of its own.

    `to_shard`: the weights of the base model are left in the files, see `unread`, where transformers does not convert
    them. New weights are initialized from torch's random number generator.

    Raises UserError if the model is not found, its architecture does not fit the task, its checkpoint lacks weights, or
    a text with the method's virtual tokens, or a target, may exceed its maximum length.
    """
    auto = getattr(transformers, task.settings.auto_model)
    options = {**task.model_options(), "pad_token_id": tokenizer.pad_token_id}
    if is_tiny(model.name):
        length = model.max_length + soft_prompt_tokens(method)
        config = tiny_config(model.name, tokenizer, length, attn_implementation=model.attn_implementation, **options)
        require_architecture(task.settings, config, model.name)
        return fuse_gelu(auto.from_config(config)), [], None
    checkpoint = load_pretrained(transformers.AutoConfig, model)
    rows = matching_rows(checkpoint, task.model_options())
    if rows is not None:  # rows of the checkpoint's own head
        options = {name: value for name, value in options.items() if name not in LABELS}
    config = load_model_config(model, **options)
    require_architecture(task.settings, config, model.name)
    how: dict[str, Any] = {"use_safetensors": True, "ignore_mismatched_sizes": True, "output_loading_info": True}
    if isinstance(method, QLora):
        how["quantization_config"] = quantization_config(method, auto, config)
    with loaded_in(dtype, partial(on_meta, auto, config, model)) as loading:
        how["dtype"] = loading
        found = _load_unread(auto, config, model, task.settings.new_head, how) if to_shard else None
        loaded, info = found or load_pretrained(auto, model, config=config, **how)
    require_pretrained_weights(loaded, info, model.name)
    require_max_length(loaded, model, soft_prompt_tokens(method))
    require_target_length(loaded, task.settings, model.name)
    require_vocabulary(loaded, tokenizer, model.name)
    poolers = {f"{key.split('.pooler.')[0]}.pooler" for key in info["missing_keys"] if ".pooler." in key}
    head = fit_head(loaded, info, checkpoint, task.model_options(), rows) if task.settings.new_head else None
    return fuse_gelu(loaded), sorted(poolers), head


def make_skeleton(model: settings.Model, task: Task[Any, Any], tokenizer: Any, method: AnyMethod) -> Any:
    """The model of `load_model` on the meta device, where weights have a shape and no memory."""
    options = {**task.model_options(), "pad_token_id": tokenizer.pad_token_id}
    if is_tiny(model.name):
        config = tiny_config(model.name, tokenizer, model.max_length + soft_prompt_tokens(method), **options)
    else:
        config = load_model_config(model, **options)
    return on_meta(getattr(transformers, task.settings.auto_model), config, model)


def on_meta(auto: Any, config: Any, model: settings.Model) -> Any:
    """A model of this config in fp32 on the meta device. Raises UserError if the architecture cannot be made."""
    trust = {"trust_remote_code": True} if model.trust_remote_code else {}
    with _errors_of(model), torch.device("meta"), torch.random.fork_rng(devices=[]):  # some draw numbers all the same
        return fuse_gelu(auto.from_config(config, dtype=torch.float32, **trust))


def load_model_config(model: settings.Model, **options: Any) -> Any:
    """The config of a model, with `model.attention`. Raises UserError if it cannot be loaded."""
    config = load_pretrained(transformers.AutoConfig, model, **options)
    # None as well: a config.json may name a kernel, which transformers would download and run.
    config._attn_implementation = model.attn_implementation
    config._experts_implementation = None
    return config


def load_pretrained(auto: Any, model: settings.Model, **options: Any) -> Any:
    """`auto.from_pretrained` from the fetched folder if there is one, else by name. Raises UserError if it fails."""
    source, revision = _source(model)
    require_sound_settings(source)
    with _errors_of(model, FILES.get(auto, WEIGHTS)):
        if model.trust_remote_code:
            require_pinned_code(source, revision)
        if auto is transformers.AutoTokenizer:
            require_own_tokenizer(source, revision)
        elif auto is not transformers.AutoConfig:
            if refused := refused_adapter(source):
                raise refused
            require_sound_weights(source)
            if not model.trust_remote_code:
                skeleton = on_meta(auto, options["config"], model)
                require_fitting_size(source, sum(parameter.numel() for parameter in skeleton.parameters()))
        return auto.from_pretrained(source, revision=revision, trust_remote_code=model.trust_remote_code, **options)


def _load_unread(
    auto: Any, config: Any, model: settings.Model, new_head: bool, how: dict[str, Any]
) -> tuple[Any, dict[str, Any]] | None:
    """What `from_pretrained` returns with the options `how`, but for the weights, which are left in the files.

    None if the checkpoint has to be read as a whole.
    """
    quantized = "quantization_config" in how or getattr(config, "quantization_config", None)
    named = getattr(config, "transformers_weights", None) or config.extra_files  # other files than the usual ones
    if model.trust_remote_code or quantized or named:
        return None
    skeleton = on_meta(auto, config, model)
    source, revision = _source(model)

    def load(tensors: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        options = {**how, "config": skeleton.config, "state_dict": tensors}
        if skeleton.can_generate():
            options["generation_config"] = _generation_config(source, revision)
        loaded, info = type(skeleton).from_pretrained(None, **options)
        loaded.name_or_path = loaded.config.name_or_path = source
        return loaded, info

    with _errors_of(model):
        return load_unread(load, files_to_read_later(source, revision), head_modules if new_head else lambda _: ())


def _generation_config(source: str, revision: str) -> Any:
    read = partial(transformers.GenerationConfig.from_pretrained, source, revision=revision)
    try:
        return read()
    except OSError:  # BART's are in the model's config
        return read(config_file_name="config.json", _from_model_config=True)


def _source(model: settings.Model) -> tuple[str, str]:
    """The folder or the name to load from, and the revision."""
    return str(default_folder(model.name)) if find_manifest(model) else model.name, model.revision or "main"


@contextmanager
def _errors_of(model: settings.Model, files: str = CONFIG) -> Iterator[None]:
    """Raise UserError in place of what transformers raises for a model, of which it reads `files`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # transformers has one of any class for a file that it cannot read
        from_code = model.trust_remote_code and not isinstance(error, OSError | ValueError | ImportError)
        if from_code or isinstance(error, torch.OutOfMemoryError):
            raise
        source, revision = _source(model)
        refused = None if model.trust_remote_code else refused_code(source, revision)
        raise refused or _load_error(source, error, revision, files) from error


def set_attention(model: Any, wanted: settings.Model) -> None:
    """Change the attention implementation of a loaded model to `wanted.attention`.

    Raises UserError if the architecture does not have it.
    """
    try:
        model.set_attn_implementation(model.get_correct_attn_implementation(wanted.attn_implementation))
    except ValueError as error:
        raise _load_error(wanted.name, error) from error


def _load_error(source: str, error: Exception, revision: str = "main", files: str = CONFIG) -> UserError:
    named = "" if isinstance(error, OSError | ValueError | ImportError) else f"{type(error).__name__}: "
    reason = f"{named}{first_line(error)}"
    if field := re.search(r"Field '(\w+)' (.+)", str(error)):  # transformers checks the types of a config's values
        return UserError(f"{Path(source, CONFIG)}: {field[1]}: {field[2]}: correct it, or {ANEW}")
    if "scaled_dot_product_attention" in reason:  # transformers says so for the model, or for a part of it
        return UserError(f"model.attention: the architecture of '{source}' has no sdpa: set it to auto, or to eager")
    if isinstance(error, ImportError):
        return UserError(f"model.name: '{source}' needs a package that is not installed ({reason}): install it")
    if Path(source, "best", "config.json").is_file():
        return UserError(
            f"model.name: '{source}' is the folder of a run: name {source}/best, or set continue_from to it"
        )
    if refused := refused_adapter(source):
        return refused
    if damaged := damage(source, revision, of_weights=files == WEIGHTS):
        return damaged
    if Path(source).is_dir():
        return UserError(
            f"model.name: the folder '{source}' cannot be loaded ({reason}): it needs config.json, model.safetensors "
            f"and a tokenizer: correct {files}, or {ANEW}"
        )
    if HUB_NAME.fullmatch(source):
        return UserError(
            f"model.name: '{source}' cannot be loaded from the Hub ({reason}): choose a model with safetensors weights"
        )
    return UserError(f"model.name: there is no folder '{source}': correct the path")
