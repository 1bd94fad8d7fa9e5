"""Checkpoints: all that a bit-exact resume needs. A kill at any moment leaves the latest complete one."""

import json
import random
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from ..distributed.parallel import gather_full, shard_like
from ..distributed.world import World
from ..files import is_valid, publish
from .throughput import StepStats


@dataclass(slots=True)
class TrainingState:
    """Progress of a training, in plain numbers."""

    step: int = 0
    """Optimizer steps done; the position in the dataset follows from it."""
    best_step: int = 0
    best_score: float | None = None
    """The metric that chooses, as a number that rises as the model improves."""
    best_loss: float | None = None
    """The validation loss at the best step."""
    stale: int = 0
    """Validations since the best one that count for early stopping and for the plateau schedule."""
    seconds: float = 0.0
    """Training time so far, over all resumptions."""
    window: StepStats = field(default_factory=StepStats)
    """Statistics since the last line of the log."""


class Checkpointed(Protocol):
    """What a checkpoint holds beside the state; the `Setup` of a training has it."""

    world: World
    model: Any
    optimizer: Any
    schedule: Any
    scaler: Any
    """The loss scale of fp16."""
    allocation: Any
    """The changing ranks of AdaLoRA, or None."""


def newest_valid(checkpoints: Path) -> tuple[Path | None, list[Path]]:
    """The newest intact checkpoint, and the damaged ones that are newer."""
    damaged: list[Path] = []
    for folder in sorted(checkpoints.glob("step-*[0-9]"), key=_step_of, reverse=True):
        if is_valid(folder):
            return folder, damaged
        damaged.append(folder)
    return None, damaged


def save_checkpoint(checkpoints: Path, state: TrainingState, parts: Checkpointed, *, keep: int) -> None:
    """Save `step-N`, then delete all but the newest `keep` checkpoints.

    The content is the same however many processes train, except for their random states: weights are full tensors.
    """
    weights = gather_full(_unshared(parts.model), parts.world)
    tensors = {
        "optimizer": gather_full(parts.optimizer.state_dict(), parts.world),
        "schedule": parts.schedule.state_dict(),
        "scaler": parts.scaler.state_dict(),
        "random": parts.world.gather(_random_states()),
    }
    if parts.allocation:
        tensors["ranks"] = parts.allocation.state_dict()

    def write(folder: Path) -> None:
        save_file(weights, folder / "model.safetensors")
        torch.save(tensors, folder / "trainer.pt")
        (folder / "progress.json").write_text(json.dumps(asdict(state)))

    def write_and_rotate() -> None:
        publish(checkpoints / f"step-{state.step}", write)
        for folder in sorted(checkpoints.glob("step-*[0-9]"), key=_step_of)[:-keep]:
            shutil.rmtree(folder, ignore_errors=True)

    parts.world.on_main(write_and_rotate)


def load_checkpoint(folder: Path, parts: Checkpointed) -> TrainingState:
    """Restore the model, the optimizer, the schedule and the random states in place.

    A rank that did not exist when the checkpoint was saved keeps its own random state.
    """
    weights, current = load_file(folder / "model.safetensors"), parts.model.state_dict(keep_vars=True)
    first = _first_names(current)
    parts.model.load_state_dict({name: shard_like(weights[first[name]], tensor) for name, tensor in current.items()})
    tensors = torch.load(folder / "trainer.pt", weights_only=True, map_location="cpu")
    _load_optimizer(parts.optimizer, tensors["optimizer"])
    parts.schedule.load_state_dict(tensors["schedule"])
    if "scaler" in tensors:  # checkpoints of earlier versions do not have it
        parts.scaler.load_state_dict(tensors["scaler"])
    if parts.allocation:
        parts.allocation.load_state_dict(tensors["ranks"])
    if parts.world.rank < len(tensors["random"]):
        _set_random_states(tensors["random"][parts.world.rank])
    state = json.loads((folder / "progress.json").read_text())
    return TrainingState(**{**state, "window": StepStats(**state["window"])})


def _unshared(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Its tensors, tied ones once, under their first names: safetensors' own choice differs between processes."""
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
