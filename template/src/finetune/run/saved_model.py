"""A saved model: a folder with weights, tokenizer and the state of the task.

Full fine-tuning saves an ordinary model, which plain transformers loads. PEFT methods save the adapter in peft's
format and the name of the base model; of a tiny model, which has no other source, also the base model itself.

Tabular features have a module of their own in the head, which plain transformers passes over.

The head of a regression is saved in the unit of the data, for other programs: mean and deviation of the labels are
folded into its last layer. Here a model predicts standardized labels, and loads that layer as it was trained.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import torch
import transformers
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..config import config as settings
from ..config.config import Config
from ..config.methods import AnyMethod, QLora
from ..console import counted
from ..distributed.parallel import gather_full
from ..distributed.world import World
from ..errors import UserError
from ..files import Folder, publish, sha256_of
from ..hub.manifest import find_manifest
from ..model.device import Precision, choose_device
from ..model.first_token import compute_first_token_only
from ..model.folder_checks import WEIGHTS, weight_files
from ..model.frozen import frozen_dtype, keep_frozen, loaded_in
from ..model.fused_gelu import fuse_gelu
from ..model.head import output_layer, scaled
from ..model.layers import in_modules
from ..model.load import load_model_config, load_pretrained, on_meta
from ..model.methods import adapter_weights, apply_method, is_peft, load_adapter, save_adapter
from ..model.precision import inference_precision
from ..model.quantization import dequantize, quantization_config, require_quantization
from ..model.remote_code import code_not_allowed
from ..model.tabular_head import NAME, join_features
from ..model.tensor_checks import require_names
from ..model.tiny import is_tiny
from ..tasks import make_task
from ..tasks.base import Task
from ..tasks.settings import AnyTask
from .named_files import names_network
from .records import Saved, first_problem, read_record

TASK_FILE = "finetune.json"
STANDARDIZED = "standardized_head.safetensors"
"""The last layer of a regression's head, as it was trained."""
BASE = "base"
FLOATS = ("F16", "BF16", "F32", "F64")
"""Formats of weights in the header of a safetensors file."""
DAMAGED = "put back an intact copy of the folder, or train the run again"
TASKS: TypeAdapter[Any] = TypeAdapter(AnyTask)
METHODS: TypeAdapter[AnyMethod] = TypeAdapter(AnyMethod)


@dataclass(frozen=True, slots=True)
class Base:
    """What a saved model needs to know of the base model."""

    model: settings.Model
    """Its name, at the commit that was loaded."""
    head: list[str]
    """Modules of the saved model that the base model lacks, or that are not taken from it."""
    files: dict[str, str]
    """Checksums of its weight files, if it is a local folder and some of its weights are frozen."""
    weights: dict[str, Tensor]
    """A copy of the weights of a tiny model; otherwise empty."""

    @classmethod
    def of(cls, config: Config, model: Any, head: list[str]) -> "Base":
        """Of a model to which the method has not been applied yet."""
        fetched = find_manifest(config.model)
        commit = fetched.commit if fetched else getattr(model.config, "_commit_hash", None)
        named = config.model.model_copy(update={"revision": commit or config.model.revision})
        if not config.freezes:
            return cls(named, head, {}, {})
        to_copy = is_tiny(named.name) and is_peft(config.method)
        return cls(named, head, _checksums(named), _copy_of_weights(model) if to_copy else {})

    @classmethod
    def read(cls, folder: Path) -> "Base":
        """The base model of the saved model in `folder`, for a training that continues it."""
        description = _description(folder)
        copy = folder / BASE / "model.safetensors"
        return cls(
            _base_model(folder, description),
            description["head"],
            description["base_files"],
            load_file(copy) if copy.is_file() else {},
        )

    @property
    def fingerprint(self) -> dict[str, Any] | None:
        """What identifies its weights: the commit, or the checksums of a local folder; None if a seed made them."""
        if is_tiny(self.model.name):
            return None
        return {"name": self.model.name, "revision": self.model.revision, "files": self.files}


@dataclass(slots=True)
class SavedModel:
    """A model, ready to predict."""

    task: Task[Any, Any]
    model: Any
    tokenizer: Any
    max_length: int
    method: AnyMethod
    head: list[str]
    """Names of the modules of the head."""
    precision: Precision = "fp32"
    """What the forward pass computed in when it was trained."""


class Trained(Protocol):
    """What a saved model is made of; the `Setup` of a training has it."""

    world: World
    task: Task[Any, Any]
    model: Any
    tokenizer: Any
    base: Base
    precision: Precision


def save_model(folder: Path, config: Config, parts: Trained) -> None:
    """Write the model to `folder` atomically."""
    added = is_peft(config.method)
    state = adapter_weights(config.method, parts.model) if added else parts.model.state_dict(keep_vars=True)
    weights = gather_full(state, parts.world)
    layer, _ = output_layer(parts.model, parts.base.head)
    standardization = parts.task.standardization() if f"{layer}.bias" in weights else None
    description = {
        "task": config.task.model_dump(),
        "state": parts.task.state(),
        "max_length": config.model.max_length,
        "base_model": config.model.name,
        "base": parts.base.model.model_dump(),
        "base_files": parts.base.files,
        "head": parts.base.head,
        "method": config.method.model_dump(),
        "precision": parts.precision,
        **({"data_units": True} if standardization else {}),
    }

    def write(target: Path) -> None:
        saved = weights
        if standardization:
            mean, deviation = standardization
            head = {part: weights[f"{layer}.{part}"] for part in ("weight", "bias")}
            save_file(head, target / STANDARDIZED)
            saved = {**weights, **{f"{layer}.{part}": new for part, new in scaled(head, deviation, mean).items()}}
        if added:
            _save_added(target, config.method, parts.model, parts.base, saved)
        else:
            parts.model.save_pretrained(target, state_dict=saved)
        parts.tokenizer.save_pretrained(target)
        parts.task.save_files(target)
        (target / TASK_FILE).write_text(json.dumps(description, indent=1, ensure_ascii=False), encoding="utf-8")

    parts.world.on_main(lambda: publish(folder, write))


def load_saved_model(
    folder: Path,
    train: settings.Train | None = None,
    *,
    trust_remote_code: bool = False,
    to_merge: bool = False,
    without_base: bool = False,
) -> SavedModel:
    """Load a saved model.

    `train`: the settings that name what the caller computes in and where; a frozen body is then kept in the number
    format of the training if the caller computes in that, otherwise in fp32.
    `to_merge`: with dequantized weights, because merging into 4-bit weights would round.
    `without_base`: of an adapter without its base model, so that of the model there is only its config.
    `trust_remote_code` is the allowance of the running command to run Python code that came with the model.
    Raises UserError if the folder is incomplete, its base model is missing, its code is not allowed, or the machine
    cannot run it.
    """
    try:
        description = _description(folder)
    except OSError as error:
        raise no_model_yet(folder) from error
    task, method = _task_and_method(folder, description)
    task.load_files(folder)
    base = _base_model(folder, description)
    if base.trust_remote_code and not trust_remote_code:  # the library's class of that name might compute otherwise
        raise code_not_allowed(folder)
    local = _local(folder, trust_remote_code).model_copy(update={"attention": base.attention})
    auto = getattr(transformers, task.settings.auto_model)
    config = load_model_config(local)
    _require_outputs(folder, task, config)
    vars(config).pop("quantization_config", None)  # none is saved here; it may name a kernel that would be downloaded
    trained_in: Precision = description.get("precision", "fp32")  # models of earlier versions do not have it
    if is_peft(method):
        if without_base:
            model = SimpleNamespace(config=config)
        else:
            dtype = _frozen_dtype(base, method, trained_in, train)
            model = _load_added(folder, description, task, method, auto, config, dtype, to_merge=to_merge)
    else:
        model = _load_whole(folder, partial(load_pretrained, auto, local, config=config))
        if task.tabular:
            join_features(model, task.tabular.columns)
            _load_tabular(folder, model)
    if not without_base:
        compute_first_token_only(model)
    if description.get("data_units") and not without_base:  # models of earlier versions do not have it
        _load_standardized(folder, model, description["head"])
    if not without_base:
        fuse_gelu(model)
    tokenizer = load_pretrained(transformers.AutoTokenizer, local)
    return SavedModel(task, model, tokenizer, description["max_length"], method, description["head"], trained_in)


def _task_and_method(folder: Path, description: dict[str, Any]) -> tuple[Task[Any, Any], AnyMethod]:
    """Raises UserError where a value has not the type it must."""
    with _section(folder, "task"):
        task = make_task(TASKS.validate_python(description["task"]))
    with _section(folder, "state"):
        task.load_state(description["state"])
    with _section(folder, "method"):
        return task, METHODS.validate_python(description["method"])


@contextmanager
def _section(folder: Path, name: str) -> Iterator[None]:
    """Raise a ValidationError of the block as UserError with file and key."""
    try:
        yield
    except ValidationError as error:
        raise UserError(f"{folder / TASK_FILE}: {first_problem(error, name)}: {DAMAGED}") from error


def _require_outputs(folder: Path, task: Task[Any, Any], config: Any) -> None:
    """Raise UserError unless the model has an output for each label."""
    labels = task.model_options().get("num_labels", config.num_labels)
    if labels != config.num_labels:
        wrong = f"{counted(labels, 'label')} for a model with {counted(config.num_labels, 'output')}"
        raise UserError(f"{folder / TASK_FILE}: state: has {wrong}: {DAMAGED}")


def no_model_yet(folder: Path) -> UserError:
    """The error for a run that has saved no model."""
    return UserError(f"{folder}: there is no finetuned model yet: let the training reach its first validation")


def to_data_units(saved: SavedModel, model: Any) -> bool:
    """Let the model of a regression give numbers in the unit of the data; False if that needs a bias that it lacks.

    `model` is that of `saved`, perhaps merged.
    """
    standardization, (_, layers) = saved.task.standardization(), output_layer(model, saved.head)
    if standardization is None or all(layer.bias is None for layer in layers):
        return standardization is None
    mean, deviation = standardization
    layers[-1].load_state_dict(scaled(layers[-1].state_dict(), deviation, mean))
    return True


def standardization_of(folder: Path) -> tuple[float, float] | None:
    """Mean and deviation that are folded into the head of a model folder, if it is one of a regression of ours."""
    try:
        description = json.loads((folder / TASK_FILE).read_text(encoding="utf-8"))
        return (description["state"]["mean"], description["state"]["deviation"]) if description["data_units"] else None
    except (OSError, ValueError, KeyError, TypeError):  # another model, whose folder may have any file
        return None


def _description(folder: Path) -> dict[str, Any]:
    """What `save_model` wrote of the task, the base model and the method. Raises OSError where it is missing."""
    (folder / TASK_FILE).lstat()
    return read_record(Folder(folder), TASK_FILE, Saved, DAMAGED)


def _copy_of_weights(model: Any) -> dict[str, Tensor]:
    """The state dict with tied weights once; transformers ties them again on loading."""
    once = {tensor.data_ptr(): name for name, tensor in reversed(model.state_dict().items())}
    return {name: tensor.clone() for name, tensor in model.state_dict().items() if name in once.values()}


def _checksums(base: settings.Model) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in sorted(Path(base.name).glob("*.safetensors"))}


def _is_known(base: settings.Model, files: dict[str, str]) -> bool:
    """Whether the files of a base model are those that the run was trained on.

    A run may name any folder of this machine: what is read there must be what it knows already, by its checksums.
    """
    if names_network(base.name):
        return False
    return _checksums(base) == files and (bool(files) or not Path(base.name).is_dir())


def _save_added(target: Path, method: AnyMethod, model: Any, base: Base, weights: dict[str, Tensor]) -> None:
    save_adapter(method, model, target, weights)
    # How the body was quantised is a matter of the method: transformers would take the body's files for quantised ones.
    config = copy(model.config)
    vars(config).pop("quantization_config", None)
    config.save_pretrained(target)
    if base.weights:
        model.config.save_pretrained(target / BASE)
        save_file(base.weights, target / BASE / "model.safetensors", metadata={"format": "pt"})


def _base_model(folder: Path, description: dict[str, Any]) -> settings.Model:
    """The base model of a saved model. Raises UserError for one whose code no commit pins."""
    with _section(folder, "base"):
        return settings.Model.model_validate(description["base"])


def _local(folder: Path, trust_remote_code: bool = False) -> settings.Model:
    return settings.Model(name=str(folder.absolute()), trust_remote_code=trust_remote_code)


def _frozen_dtype(
    base: settings.Model, method: AnyMethod, trained_in: Precision, train: settings.Train | None
) -> Precision:
    """What the frozen weights of a saved model are kept in."""
    if not train:
        return "fp32"
    kept = frozen_dtype(base.dtype, method, trained_in)
    return kept if kept == inference_precision(train.precision, trained_in, choose_device(train.device)) else "fp32"


def _load_added(
    folder: Path,
    description: dict[str, Any],
    task: Task[Any, Any],
    method: AnyMethod,
    auto: Any,
    config: Any,
    dtype: Precision,
    *,
    to_merge: bool,
) -> Any:
    base = _base_model(folder, description)
    if not _is_known(base, description["base_files"]):
        raise UserError(
            f"{folder}: holds what was learnt on top of the model in '{base.name}', which is gone or has changed: "
            f"put it back, relative to the current folder"
        )
    own = folder / BASE if is_tiny(base.name) else None
    if own:
        base = _local(own)
    model = _load_base(method, auto, config, base, own, description["head"], dtype, to_merge)
    if task.tabular:
        join_features(model, task.tabular.columns)
    model = apply_method(method, model, description["head"])
    try:
        load_adapter(method, model, folder)
    except (OSError, SafetensorError) as error:
        raise _incomplete(folder) from error
    keep_frozen(model, description["head"], dtype)
    return model.eval()


def _load_tabular(folder: Path, model: Any) -> None:
    """The weights that transformers passes over, because its class does not have them."""
    weights: dict[str, Tensor] = {}
    for path in folder.glob("model*.safetensors"):
        with safe_open(path, framework="pt") as file:
            weights |= {
                name.removeprefix(f"{NAME}."): file.get_tensor(name)
                for name in file.keys()  # noqa: SIM118
                if name.startswith(f"{NAME}.")
            }
    try:
        getattr(model, NAME).load_state_dict(weights)
    except RuntimeError as error:
        raise _incomplete(folder) from error


def _load_standardized(folder: Path, model: Any, head: list[str]) -> None:
    _, layers = output_layer(model, head)
    try:
        layers[-1].load_state_dict(load_file(folder / STANDARDIZED))  # of peft's two copies the trained one
    except (OSError, SafetensorError, RuntimeError) as error:
        raise _incomplete(folder) from error


def _load_base(
    method: AnyMethod,
    auto: Any,
    config: Any,
    base: settings.Model,
    own: Path | None,
    head: list[str],
    dtype: Precision,
    to_merge: bool,
) -> Any:
    """`own`: the folder of a base model that was saved with the adapter, whose weights must all be there."""
    load = partial(load_pretrained, auto, base, use_safetensors=True, config=config, ignore_mismatched_sizes=True)
    if not isinstance(method, QLora):
        with loaded_in(dtype, partial(on_meta, auto, config, base)) as loading:
            load = partial(load, dtype=loading)
            return _load_whole(own, load, head) if own else _load_fitting(base, head, load)
    require_quantization(method, choose_device("auto"))
    quantized = load(dtype=torch.float32, quantization_config=quantization_config(method, auto, config))
    return dequantize(quantized, load(dtype=torch.float32)) if to_merge else quantized


def _load_fitting(base: settings.Model, head: list[str], load: Callable[..., Any]) -> Any:
    """A base model. Raises UserError for a weight of another shape outside of the head, which is saved by itself."""
    model, info = load(output_loading_info=True)
    for name, shape, wanted in sorted(info["mismatched_keys"]):
        if not in_modules(name, head):
            raise UserError(f"{base.name}: '{name}' has the shape {[*shape]} instead of {[*wanted]}: {DAMAGED}")
    return model


def _load_whole(folder: Path, load: Callable[..., Any], head: Sequence[str] = ()) -> Any:
    """A model whose weights are all in its folder. Raises UserError for one that is missing, or does not fit.

    The modules `head` are saved with the adapter, and may have other labels than the base model.
    """
    model, info = load(output_loading_info=True, use_safetensors=True, ignore_mismatched_sizes=True)
    path = folder / WEIGHTS if (folder / WEIGHTS).exists() else folder
    for name, shape, wanted in sorted(info["mismatched_keys"]):
        if in_modules(name, head):
            continue
        raise UserError(f"{path}: '{name}' has the shape {[*shape]} instead of {[*wanted]}: {DAMAGED}")
    others = {name for name in info["unexpected_keys"] if not name.startswith(f"{NAME}.")}  # loaded by themselves
    require_names(path, dict.fromkeys(others), dict.fromkeys(info["missing_keys"]), DAMAGED)
    parameters = dict(model.named_parameters())
    for file in weight_files(folder):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys() & parameters.keys():
                if tensors.get_slice(name).get_dtype() not in FLOATS:
                    raise UserError(f"{file}: '{name}' has no floating-point numbers: {DAMAGED}")
    return model


def _incomplete(folder: Path) -> UserError:
    return UserError(f"{folder}: the model lacks weights: train the run again")
