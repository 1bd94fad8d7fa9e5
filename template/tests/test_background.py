"""Checkpoints are written by a thread: the training goes on, what is written is a copy, and errors reach the loop."""

import errno
import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Project, stop_after
from rich.console import Console

from finetune.config.load import load_config
from finetune.distributed.world import SINGLE_PROCESS
from finetune.files import is_valid
from finetune.train import background, checkpoint
from finetune.train import loop as training
from finetune.train.background import background_writer
from finetune.train.guards import NotFiniteError

SHORT = {"epochs": 9, "max_steps": 8, "eval_every": 2, "device": "cpu"}


class Gate:
    """Holds writes back until it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.written: list[Any] = []

    def write(self, state: dict[str, Any]) -> None:
        assert self.opened.wait(60)
        self.written.append(state)


@contextmanager
def threads_that_end() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def state_of(tensors: list[torch.Tensor]) -> dict[str, Any]:
    """As nested as that of an optimizer; with a transposed and a shared tensor."""
    first = tensors[0]
    return {"state": {0: {"a": first, "b": first}, 1: {"c": tensors[1].T}}, "groups": [{"lr": 1.0, "params": [0, 1]}]}


def test_what_is_written_is_what_it_was_when_it_was_saved() -> None:
    """Also the second time, in the same memory."""
    gate, tensors = Gate(), [torch.randn(3, 5), torch.randn(4, 2)]
    with threads_that_end(), background_writer(SINGLE_PROCESS) as writer:
        state = state_of(tensors)
        memory = set()
        for added in range(2):
            gate.opened.clear()
            wanted = [tensor.clone() for tensor in tensors]
            writer.write(state, gate.write)
            for tensor in tensors:
                tensor.add_(1)
            state["groups"][0]["lr"] += 1
            gate.opened.set()
            writer.wait()
            (found,) = gate.written
            assert torch.equal(found["state"][0]["a"], wanted[0])
            assert found["state"][0]["a"] is found["state"][0]["b"]
            assert torch.equal(found["state"][1]["c"], wanted[1].T)
            assert found["state"][1]["c"].is_contiguous()
            assert found["groups"] == [{"lr": 1.0 + added, "params": [0, 1]}]
            memory.add(found["state"][0]["a"].data_ptr())
            gate.written.clear()
        assert len(memory) == 1


def test_a_write_waits_for_the_one_before() -> None:
    order: list[str] = []

    def slow(_: Any) -> None:
        threading.Event().wait(0.05)
        order.append("first")

    with background_writer(SINGLE_PROCESS) as writer:
        writer.write({"a": torch.ones(2)}, slow)
        writer.write({"a": torch.zeros(2)}, lambda state: order.append(str(state["a"].tolist())))
    assert order == ["first", "[0.0, 0.0]"]


def test_the_training_goes_on_meanwhile(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first checkpoint is not written before the step after it has been taken, and it is that of its step."""
    publish, take, taken = checkpoint.publish, training.optimizer_step, threading.Semaphore(0)
    saved: list[int] = []

    def optimizer_step(*arguments: Any) -> Any:
        taken.release()
        return take(*arguments)

    def waiting(folder: Path, write: Callable[[Path], None]) -> None:
        if not saved:
            for _ in range(3):
                assert taken.acquire(timeout=60)
        publish(folder, write)
        saved.append(len(saved))

    monkeypatch.setattr(training, "optimizer_step", optimizer_step)
    path = project.config("text-classification", train=SHORT | {"keep_checkpoints": 9})
    project.train(path, "run.name=plain")
    monkeypatch.setattr(checkpoint, "publish", waiting)
    while taken.acquire(blocking=False):
        pass
    project.train(path, "run.name=late")
    for step in (2, 4, 6, 8):
        folder = Path(f"runs/late/checkpoints/step-{step}")
        assert is_valid(folder)
        for name in ("model.safetensors", "trainer.pt"):
            assert (folder / name).read_bytes() == Path(f"runs/plain/checkpoints/step-{step}", name).read_bytes()


def no_space(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(("max_steps", "taken"), [(8, 3), (2, 2)])
def test_an_error_stops_the_training_at_the_next_step_or_the_end(
    max_steps: int, taken: int, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[Any] = []
    take, save = training.optimizer_step, training.save_checkpoint
    monkeypatch.setattr(checkpoint, "publish", no_space)
    monkeypatch.setattr(training, "optimizer_step", lambda *arguments: steps.append(None) or take(*arguments))

    def waited_for(*arguments: Any, **options: Any) -> None:
        save(*arguments, **options)
        arguments[3].join()

    monkeypatch.setattr(training, "save_checkpoint", waited_for)
    with pytest.raises(OSError, match="No space left"), threads_that_end():
        project.train(project.config("text-classification", train=SHORT | {"max_steps": max_steps}))
    assert len(steps) == taken
    assert not [*Path("runs/config/checkpoints").glob("*")]


def test_an_interrupted_run_says_that_it_is_saved_when_it_is(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "publish", no_space)
    stop_after(1, monkeypatch)
    console = Console(file=io.StringIO(), record=True)
    with pytest.raises(OSError, match="No space left"):
        training.train(load_config(project.config("text-classification", train=SHORT)), console=console)
    printed = console.export_text()
    assert "trainable parameters" in printed
    assert "saved" not in printed


def test_a_failed_training_waits_for_its_checkpoint(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    publish, take, calls = checkpoint.publish, training.optimizer_step, iter(range(99))

    def fails(*arguments: Any) -> Any:
        if next(calls) == 2:
            raise NotFiniteError("the loss is nan")
        return take(*arguments)

    def slow(*arguments: Any) -> None:
        threading.Event().wait(0.2)
        publish(*arguments)

    monkeypatch.setattr(training, "optimizer_step", fails)
    monkeypatch.setattr(checkpoint, "publish", slow)
    with pytest.raises(NotFiniteError), threads_that_end():
        project.train(project.config("text-classification", train=SHORT))
    assert is_valid(Path("runs/config/checkpoints/step-2"))


def test_two_errors_are_both_told() -> None:
    def fail() -> None:
        with background_writer(SINGLE_PROCESS) as writer:
            writer.write({}, no_space)
            raise ValueError("the loop")

    with pytest.raises(ValueError, match="the loop") as caught:
        fail()
    assert any("No space left" in note for note in caught.value.__notes__)


def test_without_free_memory_the_loop_waits_instead_of_copying(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor, found = torch.ones(1000), []
    with background_writer(SINGLE_PROCESS) as writer:
        for free, copied in ((7999, False), (8001, True), (0, True)):  # once it is there, the memory is used
            monkeypatch.setattr(background, "free_memory", lambda _, free=free: free)
            writer.write({"a": tensor}, lambda state: found.append(state["a"]))
            assert copied or len(found) == 1
            writer.wait()
            assert (found.pop().data_ptr() != tensor.data_ptr()) == copied
