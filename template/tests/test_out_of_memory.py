"""Out of memory in a step: it is computed again in smaller micro-batches, with the result of these."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Project, stop_after
from rich.console import Console
from safetensors.torch import load_file

from finetune.cli import main
from finetune.config.load import load_config
from finetune.distributed.world import World
from finetune.errors import RankError
from finetune.train import loop as training
from finetune.train.checkpoint import TrainingState
from finetune.train.memory import is_out_of_memory, within_memory

SETTINGS = ["train.device=cpu", "train.batch_size=8", "train.max_steps=3", "train.log_every=1"]
LONG = [{"text": "a fine day and a grim day , " * (1 + number % 4), "label": "ab"[number % 2]} for number in range(24)]


@pytest.fixture
def config(project: Project) -> Path:
    """Texts of 10 to 32 tokens; eight of them in a micro-batch of 256 tokens."""
    project.write("long.jsonl", "".join(json.dumps(row) + "\n" for row in LONG))
    return project.config("text-classification", data={"train": "long.jsonl", "validation": None, "test": None})


def fail_above(tokens: int, monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
    """Memory runs out in a forward pass over more tokens than these."""
    forward = training.forward

    def limited(model: Any, task: Any, batch: Any, *arguments: Any, **options: Any) -> Any:
        if batch.size > tokens:
            torch.rand(3)  # as if dropout had drawn already
            raise error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(model, task, batch, *arguments, **options)

    monkeypatch.setattr(training, "forward", limited)


def train(config: Path, *overrides: str, resume: bool = False) -> str:
    shown = StringIO()
    assert training.train(load_config(config, [*SETTINGS, *overrides]), resume=resume, console=Console(file=shown))
    return " ".join(shown.getvalue().split())


def weights(run: str) -> dict[str, torch.Tensor]:
    return load_file(Path("runs", run, "best", "model.safetensors"))


def progress(run: str, step: int) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(Path("runs", run, f"checkpoints/step-{step}/progress.json").read_text())
    return document


def test_the_step_has_the_result_of_smaller_micro_batches(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit, with dropout."""
    train(config, "run.name=small", "train.micro_batch_tokens=64")
    fail_above(64, monkeypatch)
    shown = train(config, "run.name=halved", "train.micro_batch_tokens=256")
    assert shown.count("out of memory") == 1
    assert "out of memory in step 1, which was computed again" in shown
    assert "train.micro_batch_tokens is 64 instead of 256" in shown
    small, halved = weights("small"), weights("halved")
    assert all(torch.equal(halved[name], small[name]) for name in small)
    assert progress("halved", 3)["micro_batch_tokens"] == 64


def test_a_resumed_run_keeps_the_smaller_budget(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_above(64, monkeypatch)
    with monkeypatch.context() as patched:
        stop_after(1, patched)
        assert not training.train(load_config(config, SETTINGS), console=Console(quiet=True))
    assert "computed again" not in train(config, resume=True)
    assert progress("config", 3)["micro_batch_tokens"] == 64


def test_a_single_example_that_does_not_fit_is_one_sentence(
    config: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    fail_above(20, monkeypatch)
    sentence = refused("train", config, *SETTINGS)
    assert "out of memory with a single example in a step over long.jsonl:" in sentence
    assert "lower model.max_length" in sentence


def test_an_update_of_the_weights_is_not_repeated(
    config: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    """Some weights may be new already."""

    def update(*arguments: Any, **options: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.optim.AdamW, "step", update)
    assert "out of memory when the weights are updated" in refused("train", config, *SETTINGS)


def test_a_rank_cannot_repeat_a_step_alone(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_above(64, monkeypatch)
    settings = load_config(config, [*SETTINGS, "train.micro_batch_tokens=256"])
    setup = training.build(settings)
    setup.world = World(1, 2)
    monkeypatch.setattr(World, "split", lambda world, items: [items, items])
    with pytest.raises(RankError, match=r"rank 1 is out of memory .* lower it to 128") as raised:
        within_memory(training.optimizer_step, settings, setup, range(8), TrainingState(), Console(quiet=True))

    def fail(*arguments: Any, **options: Any) -> None:
        raise raised.value

    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(training, "train", fail)
    assert main(["train", str(config)]) == 2
    assert "rank 1 is out of memory" in capsys.readouterr().err


def test_other_errors_come_through(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_above(64, monkeypatch, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"):
        train(config)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9.0 GB)"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:125] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 16 bytes."), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_the_allocators_say(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) == expected


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks the CPU for more than it has")
def test_the_allocator_of_the_cpu_says_it() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**50, dtype=torch.float64)
    assert is_out_of_memory(raised.value)
