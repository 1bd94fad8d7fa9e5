"""Checkpoints are written atomically: complete or not there, whatever happens meanwhile."""

import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from finetune.config.config import Model, Optim
from finetune.distributed.world import SINGLE_PROCESS
from finetune.files import MANIFEST, TEMPORARY, is_valid, publish, recover
from finetune.run.saved_model import Base
from finetune.train.background import background_writer
from finetune.train.checkpoint import TrainingState, load_checkpoint, newest_valid, save_checkpoint
from finetune.train.optim import make_optimizer, make_schedule
from finetune.train.scaling import LossScaler
from finetune.train.throughput import StepStats


def trained(seed: int) -> Any:
    """What a checkpoint holds, after one step."""
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.LayerNorm(64))
    optimizer = make_optimizer(Optim(), model)
    schedule = make_schedule(Optim(), optimizer, 10)
    model(torch.randn(4, 64)).sum().backward()
    optimizer.step()
    schedule.step()
    base = Base(Model(name="tiny:bert"), head=[], files={}, weights={})
    scaler = LossScaler("fp32", torch.device("cpu"))
    trained = {"model": model, "base": base, "optimizer": optimizer, "schedule": schedule, "scaler": scaler}
    return SimpleNamespace(world=SINGLE_PROCESS, allocation=None, **trained)


def save(folder: Path, state: TrainingState, parts: Any, keep: int) -> None:
    """Save a checkpoint and wait until it is written."""
    with background_writer(parts.world) as writer:
        save_checkpoint(folder, state, parts, writer, keep=keep)


def test_everything_comes_back(tmp_path: Path) -> None:
    progress = TrainingState(
        step=3,
        best_step=2,
        best_score=0.5,
        best_loss=0.25,
        stale=1,
        seconds=9.0,
        window=StepStats(loss=2.0, count=5, seconds=0.5),
    )
    saved = trained(1)
    save(tmp_path, progress, saved, keep=1)
    expected = (torch.rand(3), np.random.rand(), random.random())
    other = trained(2)
    assert load_checkpoint(tmp_path / "step-3", other) == progress
    drawn = (torch.rand(3), np.random.rand(), random.random())
    assert torch.equal(drawn[0], expected[0])
    assert drawn[1:] == expected[1:]
    for a, b in zip(saved.model.state_dict().values(), other.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert saved.schedule.state_dict() == other.schedule.state_dict()
    for a, b in zip(*(one.optimizer.state_dict()["state"].values() for one in (saved, other)), strict=True):
        assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_checkpoint_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """It has neither the loss of the best step nor the seconds of the steps since the last line of the log."""
    save(tmp_path, TrainingState(step=3, best_step=2, best_score=0.5, best_loss=0.1), trained(1), keep=1)
    file = tmp_path / "step-3" / "progress.json"
    state = json.loads(file.read_text())
    del state["best_loss"], state["window"]["seconds"]
    file.write_text(json.dumps(state))
    assert load_checkpoint(tmp_path / "step-3", trained(2)) == TrainingState(step=3, best_step=2, best_score=0.5)


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (9, 10, 11):
        save(tmp_path, TrainingState(step=step), trained(1), keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-10", "step-11"]


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "no manifest"])
def test_corrupt_newest_falls_back(damage: str, tmp_path: Path) -> None:
    for step in (1, 2):
        save(tmp_path, TrainingState(step=step), trained(step), keep=2)
    weights = tmp_path / "step-2" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    match damage:
        case "truncate":
            weights.write_bytes(data[:-10])
        case "flip":
            data[-5] ^= 1
            weights.write_bytes(data)
        case "remove":
            weights.unlink()
        case "no manifest":
            (tmp_path / "step-2" / MANIFEST).unlink()
    newest, damaged = newest_valid(tmp_path)
    assert (newest, [*damaged]) == (tmp_path / "step-1", [tmp_path / "step-2"])


def test_no_checkpoint_is_not_an_error(tmp_path: Path) -> None:
    assert newest_valid(tmp_path / "nowhere") == (None, {})


def test_failed_write_leaves_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "best"
    publish(folder, lambda path: (path / "a").write_text("old") and None)

    def fail(path: Path) -> None:
        (path / "a").write_text("new")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        publish(folder, fail)
    assert (folder / "a").read_text() == "old"
    assert is_valid(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_recover_mends_a_kill_between_two_renames(tmp_path: Path) -> None:
    folder = tmp_path / "best"
    publish(folder, lambda path: (path / "a").write_text("old") and None)
    os.replace(folder, tmp_path / "best.old")
    recover(folder)
    assert is_valid(folder)


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot open a folder to sync it")
def test_all_is_on_the_disk_before_a_folder_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[int] = set()
    monkeypatch.setattr(os, "fsync", lambda handle: synced.add(os.fstat(handle).st_ino))
    rename = os.replace

    def replace(old: Path, new: Path) -> None:
        written = [old, *old.rglob("*")]
        assert TEMPORARY.fullmatch(old.name)
        assert {path.name for path in written} == {old.name, "a", "base", "b", MANIFEST}
        assert [path for path in written if path.stat().st_ino not in synced] == []
        synced.clear()
        rename(old, new)

    def write(folder: Path) -> None:
        (folder / "base").mkdir()
        (folder / "a").write_text("a")
        (folder / "base" / "b").write_text("b")

    monkeypatch.setattr(os, "replace", replace)
    publish(tmp_path / "best", write)
    assert synced == {tmp_path.stat().st_ino}, "the name itself"


FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes; this system has no fork")


def save_once(folder: Path, parts: Any, step: int, kill_at: int) -> None:
    """Save a checkpoint and a best model; the process is killed just before its file operation `kill_at`."""
    operations = itertools.count(1)

    def hook(event: str, _: Any) -> None:
        if event.startswith(("open", "os.", "shutil.")) and next(operations) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    save(folder / "checkpoints", TrainingState(step=step), parts, keep=2)
    publish(folder / "best", lambda path: (path / "a").write_bytes(b"a" * step) and None)


def assert_whole(folder: Path) -> int:
    """There is a best model, and nothing damaged among the checkpoints; returns the newest step."""
    newest, damaged = newest_valid(folder / "checkpoints")
    assert newest is not None
    assert damaged == {}
    recover(folder / "best")
    assert is_valid(folder / "best")
    return int(newest.name.removeprefix("step-"))


@FORKS
def test_kill_during_save(tmp_path: Path) -> None:
    """Before each file operation of a save, always from the same start, so that none is passed over."""
    context = multiprocessing.get_context("fork")
    parts = trained(1)
    (tmp_path / "start").mkdir()
    save(tmp_path / "start" / "checkpoints", TrainingState(step=1), parts, keep=2)
    publish(tmp_path / "start" / "best", lambda path: (path / "a").write_bytes(b"a") and None)
    for kill_at in itertools.count(1):
        folder = tmp_path / str(kill_at)
        shutil.copytree(tmp_path / "start", folder)
        process = context.Process(target=save_once, args=(folder, parts, 2, kill_at))
        process.start()
        process.join()
        newest = assert_whole(folder)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        assert newest in (1, 2)
    assert newest == 2
    assert kill_at > 30
    assert {path.name for path in folder.iterdir()} == {"checkpoints", "best"}


def save_for_ever(folder: Path, first: int) -> None:
    parts = trained(first)
    for step in range(first, first + 10**6):
        save(folder / "checkpoints", TrainingState(step=step), parts, keep=2)
        publish(folder / "best", lambda path: (path / "a").write_bytes(os.urandom(100_000)) and None)


@FORKS
def test_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    """In the midst of an operation too."""
    draw = random.Random(0)
    context = multiprocessing.get_context("fork")
    reached = 0
    for _ in range(6):
        process = context.Process(target=save_for_ever, args=(tmp_path, reached + 1))
        process.start()
        while newest_step(tmp_path) <= reached:
            assert process.is_alive()
            time.sleep(0.005)
        time.sleep(draw.random() * 0.1)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert assert_whole(tmp_path) > reached
        reached = newest_step(tmp_path)
        load_checkpoint(tmp_path / "checkpoints" / f"step-{reached}", trained(0))


def newest_step(folder: Path) -> int:
    steps = [int(path.name.removeprefix("step-")) for path in (folder / "checkpoints").glob("step-*[0-9]")]
    return max(steps, default=0)
