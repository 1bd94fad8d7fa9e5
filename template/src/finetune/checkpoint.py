"""Folders that are whole or not there: a kill at any moment leaves the last complete one.

A folder is written under a temporary name, every byte is forced to the disk together with a manifest of checksums,
and only then the folder gets its name. Reading trusts a folder only if it matches its manifest.
"""

import contextlib
import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from .distributed import ALONE, World
from .meter import Window
from .parallel import cut_like, gathered

MANIFEST = "manifest.json"


@dataclass(slots=True)
class Progress:
    """Where a training stands, beside its tensors."""

    step: int = 0
    """Optimizer steps done; the position in the data follows from it."""
    best_step: int = 0
    best_score: float | None = None
    stale: int = 0
    """Validations since the best one."""
    seconds: float = 0.0
    """Training time so far."""
    window: Window = field(default_factory=Window)
    """Figures since the last line of the log."""


def publish(folder: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary folder, and give it the name `folder` when it is safe on the disk.

    An older `folder` stays until then, and after a failure, of which nothing else is left. `recover` mends the one
    moment in which neither has the name.
    """
    temporary, old = _sibling(folder, "tmp"), _sibling(folder, "old")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        write(temporary)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    files = sorted(path for path in temporary.rglob("*") if path.is_file())
    checksums = {path.relative_to(temporary).as_posix(): _sha256(path) for path in files}
    (temporary / MANIFEST).write_text(json.dumps(checksums, indent=1))
    for path in [*files, temporary / MANIFEST, *(path for path in temporary.rglob("*") if path.is_dir()), temporary]:
        _sync(path)
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.replace(folder, old)
    os.replace(temporary, folder)
    _sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def recover(folder: Path) -> None:
    """Give `folder` back its older version if a kill came between taking the old name away and giving the new one."""
    old = _sibling(folder, "old")
    if old.exists() and not folder.exists():
        os.replace(old, folder)


def is_valid(folder: Path) -> bool:
    """Whether every file of the folder is there and has the bytes that were written."""
    try:
        checksums = json.loads((folder / MANIFEST).read_text())
        return all(_sha256(folder / name) == checksum for name, checksum in checksums.items())
    except (OSError, ValueError):
        return False


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
    progress: Progress,
    model: torch.nn.Module,
    optimizer: Any,
    schedule: Any,
    allocation: Any = None,
    *,
    keep: int,
    world: World = ALONE,
) -> None:
    """Save all that a bit-exact continuation needs as `step-N`, then drop all but the newest `keep`.

    `allocation` is AdaLoRA's, if there is one. What is saved is the same however many processes train, but for
    their random numbers: weights are whole.
    """
    weights = gathered(_unshared(model), world)
    tensors = {"optimizer": gathered(optimizer.state_dict(), world), "schedule": schedule.state_dict()}
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
    folder: Path, model: torch.nn.Module, optimizer: Any, schedule: Any, allocation: Any = None, world: World = ALONE
) -> Progress:
    """Put a checkpoint back into the model, the optimizer, the schedule and the random number generators.

    A rank that was not there when it was saved begins with random numbers of its own.
    """
    weights, state = load_file(folder / "model.safetensors"), model.state_dict(keep_vars=True)
    first = _first_names(state)
    model.load_state_dict({name: cut_like(weights[first[name]], tensor) for name, tensor in state.items()})
    tensors = torch.load(folder / "trainer.pt", weights_only=True, map_location="cpu")
    _load_optimizer(optimizer, tensors["optimizer"])
    schedule.load_state_dict(tensors["schedule"])
    if allocation:
        allocation.load_state_dict(tensors["ranks"])
    if world.rank < len(tensors["random"]):
        _set_random_states(tensors["random"][world.rank])
    progress = json.loads((folder / "progress.json").read_text())
    return Progress(**{**progress, "window": Window(**progress["window"])})


def write_atomic(path: Path, text: str) -> None:
    """Write a file under a temporary name, then give it its own: a reader sees the old text or the new one."""
    temporary = _sibling(path, "tmp")
    temporary.write_text(text, encoding="utf-8")
    _sync(temporary)
    os.replace(temporary, path)


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
                kept[name] = cut_like(value, parameter)
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


def _sibling(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.name}.{ending}")


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder; NTFS keeps a log of renames by itself.
    handle = os.open(path, os.O_RDONLY if path.is_dir() or os.name != "nt" else os.O_RDWR)
    try:
        with contextlib.suppress(PermissionError):  # some network file systems refuse it
            os.fsync(handle)
    finally:
        os.close(handle)
