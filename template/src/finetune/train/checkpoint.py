"""Folders that are whole or not there: a kill at any moment leaves the last complete one.

A folder is written under a temporary name, every byte is forced to the disk together with a manifest of checksums,
and only then the folder gets its name. Reading trusts a folder only if it matches its manifest.
"""

import json
import random
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from ..distributed.parallel import gather_full, shard_like
from ..distributed.world import SINGLE_PROCESS, World
from ..files import is_valid, publish
from .throughput import StepStats


@dataclass(slots=True)
class TrainingState:
    """Where a training stands, beside its tensors."""

    step: int = 0
    """Optimizer steps done; the position in the data follows from it."""
    best_step: int = 0
    best_score: float | None = None
    stale: int = 0
    """Validations since the best one."""
    seconds: float = 0.0
    """Training time so far."""
    window: StepStats = field(default_factory=StepStats)
    """Figures since the last line of the log."""


def newest_valid(checkpoints: Path) -> tuple[Path | None, list[Path]]:
    """The newest whole checkpoint, and the damaged ones that are newer."""
    damaged: list[Path] = []
    for folder in sorted(checkpoints.glob("step-*[0-9]"), key=_step_of, reverse=True):
        if is_valid(folder):
            return folder, damaged
        damaged.append(folder)
    return None, damaged


def save_checkpoint(
    checkpoints: Path,
    progress: TrainingState,
    model: torch.nn.Module,
    optimizer: Any,
    schedule: Any,
    allocation: Any = None,
    *,
    keep: int,
    world: World = SINGLE_PROCESS,
) -> None:
    """Save all that a bit-exact continuation needs as `step-N`, then drop all but the newest `keep`.

    `allocation` is AdaLoRA's, if there is one. What is saved is the same however many processes train, but for
    their random numbers: weights are whole.
    """
    weights = gather_full(_unshared(model), world)
    tensors = {"optimizer": gather_full(optimizer.state_dict(), world), "schedule": schedule.state_dict()}
    tensors["random"] = world.gather(_random_states())
    if allocation:
        tensors["ranks"] = allocation.state_dict()

    def write(folder: Path) -> None:
        save_file(weights, folder / "model.safetensors")
        torch.save(tensors, folder / "trainer.pt")
        (folder / "progress.json").write_text(json.dumps(asdict(progress)))

    def write_and_drop() -> None:
        publish(checkpoints / f"step-{progress.step}", write)
        for folder in sorted(checkpoints.glob("step-*[0-9]"), key=_step_of)[:-keep]:
            shutil.rmtree(folder, ignore_errors=True)

    world.once(write_and_drop)


def load_checkpoint(
    folder: Path,
    model: torch.nn.Module,
    optimizer: Any,
    schedule: Any,
    allocation: Any = None,
    world: World = SINGLE_PROCESS,
) -> TrainingState:
    """Put a checkpoint back into the model, the optimizer, the schedule and the random number generators.

    A rank that was not there when it was saved begins with random numbers of its own.
    """
    weights, state = load_file(folder / "model.safetensors"), model.state_dict(keep_vars=True)
    first = _first_names(state)
    model.load_state_dict({name: shard_like(weights[first[name]], tensor) for name, tensor in state.items()})
    tensors = torch.load(folder / "trainer.pt", weights_only=True, map_location="cpu")
    _load_optimizer(optimizer, tensors["optimizer"])
    schedule.load_state_dict(tensors["schedule"])
    if allocation:
        allocation.load_state_dict(tensors["ranks"])
    if world.rank < len(tensors["random"]):
        _set_random_states(tensors["random"][world.rank])
    progress = json.loads((folder / "progress.json").read_text())
    return TrainingState(**{**progress, "window": StepStats(**progress["window"])})


def _unshared(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Its tensors, tied ones once, under their first names: safetensors' own choice differs from process to process."""
    state = model.state_dict(keep_vars=True)
    return {name: state[name] for name, first in _first_names(state).items() if name == first}


def _first_names(state: dict[str, torch.Tensor]) -> dict[str, str]:
    """For every name of a tensor, the first of its names."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(tensor), name) for name, tensor in state.items()}


def _load_optimizer(optimizer: Any, state: dict[str, Any]) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, kept in state["state"].items():
        parameter = parameters[number]
        for name, value in kept.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                kept[name] = shard_like(value, parameter)
    optimizer.load_state_dict(state)


def _random_states() -> dict[str, Any]:
    # As plain numbers: torch loads with weights_only, which takes no numpy objects.
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


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))
