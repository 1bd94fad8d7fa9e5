"""Checkpoints: all that a bit-exact resume needs. A kill at any moment leaves the latest complete one.

Frozen weights are left out: a resumed run loads them from the base model, which a fingerprint in the checkpoint
identifies. Those of a tiny model, whose only source is a random seed, are saved.
"""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file, save_file

from ..distributed.parallel import is_sharded, shard_like
from ..distributed.world import World
from ..errors import UserError
from ..files import Folder, damage, flush, is_valid, publish
from ..model.tensor_checks import require_kind, require_tensors
from ..parsing import parsing, reason
from ..run.folder import checkpoints_in, step_of
from ..run.saved_model import Base
from .background import BackgroundWriter
from .optim import page_state
from .optimizer_state import require_fitting, require_structure
from .sharded_checkpoint import SHARDS, read_shards, write_shards
from .state_file import ANEW, load_state, save_state
from .throughput import StepStats

TRAINER = "trainer"
"""Files of the state beside the weights: optimizer, schedule, loss scale, random numbers."""
PROGRESS = "progress.json"
BASE_FILE = "base.json"
"""In a checkpoint without the frozen weights: the fingerprint of their base model."""


@dataclass(slots=True)
class TrainingState:
    """Progress of a training, in plain numbers."""

    step: int = 0
    """Optimizer steps done; the position in the dataset follows from it."""
    best_step: int = 0
    best_score: float | None = None
    """The metric that chooses, as a number that rises as the model improves."""
    best_loss: float = 0.0
    """The validation loss at the best step."""
    stale: int = 0
    """Validations since the best one that count for early stopping and for the plateau schedule."""
    seconds: float = 0.0
    """Training time so far, over all resumptions."""
    micro_batch_tokens: int | None = None
    """What `train.micro_batch_tokens` was lowered to when memory ran out."""
    window: StepStats = field(default_factory=StepStats)
    """Statistics since the last line of the log."""
    recent: list[float] = field(default_factory=list)
    """Losses of the last steps, with which the next ones are compared."""


STATE = TypeAdapter(TrainingState)


class Checkpointed(Protocol):
    """What a checkpoint holds beside the state; the `Setup` of a training has it."""

    world: World
    model: Any
    base: Base
    """The base model, which frozen weights are loaded from."""
    optimizer: Any
    schedule: Any
    scaler: Any
    """The loss scale of fp16."""
    allocation: Any
    """The changing ranks of AdaLoRA, or None."""


def newest_valid(checkpoints: Path) -> tuple[Path | None, dict[Path, str]]:
    """The newest intact checkpoint, and what is wrong with the damaged ones that are newer."""
    damaged: dict[Path, str] = {}
    for folder in checkpoints_in(checkpoints):
        wrong = damage(folder)
        if wrong is None:
            return folder, damaged
        damaged[folder] = wrong
    return None, damaged


def save_checkpoint(
    checkpoints: Path,
    state: TrainingState,
    parts: Checkpointed,
    writer: BackgroundWriter,
    *,
    keep: int,
    sharded: bool = False,
) -> None:
    """Let `writer` save `step-N`, then delete all but the newest `keep` intact checkpoints.

    The content is the same however many processes train, except for their random states: weights are full tensors.
    `sharded`: where the model is, each rank writes its shard instead, before the training goes on. Raises what the
    former save has raised.
    """
    weights = _unshared(parts.model)
    fingerprint = parts.base.fingerprint if any(map(_is_frozen, weights.values())) else None
    if fingerprint:
        weights = {name: tensor for name, tensor in weights.items() if not _is_frozen(tensor)}
    optimizer, staging = parts.optimizer.state_dict(), None
    if sharded and is_sharded(parts.model):
        writer.wait()  # its rotation would take these shards for those of a save that was killed
        staging = checkpoints / f"step-{state.step}.{SHARDS}"
        optimizer = write_shards(staging, weights, optimizer, parts.world)
        weights = {}
    trainer = {
        "optimizer": optimizer,
        "schedule": parts.schedule.state_dict(),
        "scaler": parts.scaler.state_dict(),
        "random": parts.world.gather(_random_states()),
    }
    if parts.allocation:
        trainer["ranks"] = parts.allocation.state_dict()
    step, progress = state.step, json.dumps(asdict(state))
    folder = checkpoints / f"step-{step}"

    def write(saved: dict[str, Any], target: Path) -> None:
        if staging:
            staging.rename(target / SHARDS)
        else:
            save_file(saved["weights"], target / "model.safetensors")
        save_state(target / TRAINER, saved["trainer"])
        (target / PROGRESS).write_text(progress)
        if fingerprint:
            (target / BASE_FILE).write_text(json.dumps(fingerprint, indent=1))

    def write_and_rotate(saved: dict[str, Any]) -> None:
        flush(checkpoints.parent)  # the log of the steps so far: no resume writes it again
        publish(folder, partial(write, saved))
        others = [other for other in checkpoints_in(checkpoints) if other != folder]
        older = (other for other in others if step_of(other) < step and is_valid(other))  # newer ones were passed over
        kept = {*islice(older, keep - 1)}
        for other in others:
            if other not in kept:
                Folder(checkpoints).remove(other.name)

    writer.write({"weights": weights, "trainer": trainer}, write_and_rotate)


def load_checkpoint(folder: Path, parts: Checkpointed) -> TrainingState:
    """Restore the model, the optimizer, the schedule and the random states in place.

    A rank that did not exist when the checkpoint was saved keeps its own random state. Raises UserError if frozen
    weights were loaded from another base model than that of the checkpoint.
    """
    base_file = folder / BASE_FILE
    without_frozen = base_file.is_file()  # where nothing is frozen, or of a tiny model, all are saved
    if without_frozen and (saved := Folder(folder).read_object(BASE_FILE, ANEW)) != parts.base.fingerprint:
        commit = f" at commit {saved['revision']}" if saved["revision"] else ""
        raise UserError(
            f"{folder}: holds what was learnt on top of the model '{saved['name']}'{commit}, which has changed since: "
            f"put it back, or start without --resume"
        )
    saved_weights = {n: t for n, t in _unshared(parts.model).items() if not (without_frozen and _is_frozen(t))}
    if (folder / f"{TRAINER}.pt").is_file():
        raise UserError(f"{folder}: was saved by an earlier version: start the training again, without --resume")
    trainer = load_state(folder / TRAINER)
    with _fitting(folder):
        optimizer = trainer["optimizer"]
        require_structure(folder / TRAINER, optimizer, parts.optimizer, ANEW)
        if (folder / SHARDS).is_dir():
            read_shards(folder / SHARDS, saved_weights, optimizer, _parameters(parts.optimizer))
        else:
            path = folder / "model.safetensors"
            weights = load_file(path)
            require_tensors(path, weights, saved_weights, ANEW, same_format=True)
            parts.model.load_state_dict({n: shard_like(weights[n], t) for n, t in saved_weights.items()}, strict=False)
        require_fitting(folder / TRAINER, optimizer, _parameters(parts.optimizer), ANEW)
        _load_optimizer(parts.optimizer, optimizer)
        for name, part in (("schedule", parts.schedule), ("scaler", parts.scaler)):
            require_kind(folder / f"{TRAINER}.json", name, trainer[name], part.state_dict(), ANEW)
            part.load_state_dict(trainer[name])
        if parts.allocation:
            parts.allocation.load_state_dict(trainer["ranks"])
        if parts.world.rank < len(trainer["random"]):
            _set_random_states(trainer["random"][parts.world.rank])
    return read_progress(folder)


@contextmanager
def _fitting(folder: Path) -> Iterator[None]:
    """Raise UserError for whatever torch raises for the state of another training, whose manifest may well fit."""
    try:
        yield
    except (UserError, OSError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise UserError(f"{folder}: does not fit this training ({reason(error)}): {ANEW}") from error


def read_progress(folder: Path) -> TrainingState:
    """The progress of a checkpoint. Raises UserError where a value has not the type it must."""
    with parsing(f"{folder / PROGRESS}: is not the progress of a training", ANEW):
        return STATE.validate_python(Folder(folder).read_object(PROGRESS, ANEW))


def _unshared(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Its tensors, tied ones once, under their first names: safetensors' own choice differs between processes."""
    state = model.state_dict(keep_vars=True)
    return {name: state[name] for name, first in _first_names(state).items() if name == first}


def _is_frozen(tensor: torch.Tensor) -> bool:
    """Whether an entry of a state dict is a parameter without training; buffers may change."""
    return isinstance(tensor, torch.nn.Parameter) and not tensor.requires_grad


def _first_names(state: dict[str, torch.Tensor]) -> dict[str, str]:
    """For every name of a tensor, the first of its names."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(tensor), name) for name, tensor in state.items()}


def _load_optimizer(optimizer: Any, state: dict[str, Any]) -> None:
    parameters = _parameters(optimizer)
    for number, kept in state["state"].items():
        parameter = parameters[number]
        for name, value in kept.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                kept[name] = shard_like(value, parameter)
    optimizer.load_state_dict(state)
    if getattr(optimizer, "is_paged", False):
        page_state(optimizer)


def _parameters(optimizer: Any) -> list[torch.Tensor]:
    """The trainable parameters, in the order of the optimizer's state dict."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _random_states() -> dict[str, Any]:
    # As plain numbers, without numpy's arrays.
    numpy_state: Any = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": [part.tolist() if isinstance(part, np.ndarray) else part for part in numpy_state],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
    }


def _set_random_states(states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    np.random.set_state(tuple(states["numpy"]))
    torch.set_rng_state(states["torch"])
    if states["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
