"""The loop: repeatable, resumable to the bit, and it learns."""

import itertools
import json
import multiprocessing
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import FILES, TASKS, Project, assert_resumes_to_the_bit
from rich.console import Console
from safetensors.torch import load_file

from finetune.cli import main
from finetune.config.load import load_config
from finetune.evaluate import evaluate
from finetune.run.folder import RunFolder
from finetune.train import loop as training
from finetune.train.checkpoint import newest_valid
from finetune.train.interrupt import stop_signal

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="a copy of this process is stopped; here is no fork")


def wait_for(pattern: str, process: Any) -> None:
    """Until a file of that name holds something."""
    while not any(path.stat().st_size for path in Path().glob(pattern)):
        assert process.is_alive()
        time.sleep(0.02)


@pytest.mark.parametrize("task", TASKS)
def test_overfit_tiny(task: str, project: Project) -> None:
    loop, lr = {"epochs": 30, "batch_size": 16, "eval_every": 30}, 5e-3  # an epoch is one step
    if task == "regression":  # numbers take longer, and dropout moves them to the end
        loop, lr = {**loop, "epochs": 90, "eval_every": 10}, 2e-3
    path = project.config(task, train=loop, optim={"lr": lr})
    project.train(path, f"data.validation={FILES[task][0]}")
    run = RunFolder(Path("runs/config"))
    evaluation = evaluate(run, "train", None, Console(quiet=True))
    score, baseline = (e["metrics"][evaluation["headline"]] for e in (evaluation, evaluation["baseline"][0]))
    if evaluation["lower_is_better"]:  # a perplexity, which is 1 where every token is foreseen for certain
        assert score < 1.1 < 10 < baseline
        return
    whole = 100 if task == "translation" else 1
    wanted = 0.99 if task == "regression" else whole  # of the variance explained; numbers are never met exactly
    assert score > wanted - 1e-6
    assert baseline < 0.9 * whole


@pytest.mark.parametrize(("name", "schedule", "lr"), [("adamw", "cosine", 1e-3), ("sgd", "constant", 0.1)])
def test_every_optimizer_learns(name: str, schedule: str, lr: float, project: Project) -> None:
    optim = {"name": name, "schedule": schedule, "lr": lr}
    loop = {"epochs": 40, "batch_size": 10, "log_every": 1, "eval_every": 1000}
    project.train(project.config("text-classification", train=loop, optim=optim))
    losses = [record["loss"] for record in project.metrics("config") if record["kind"] == "train"]
    assert sum(losses[-6:]) < 0.5 * sum(losses[:6])


def test_head_leaves_the_body_as_it_was(project: Project) -> None:
    path = project.config("text-classification", method={"type": "head"}, optim={"lr": 0.1})
    config = load_config(path)
    training.set_seed(config.train.seed)
    before = training.build(config, Console(quiet=True)).model.state_dict()
    project.train(path)
    after = load_file("runs/config/best/model.safetensors")
    changed = {name for name in before if not torch.equal(before[name].cpu(), after[name])}
    assert changed == {"classifier.weight", "classifier.bias"}


def test_same_seed_same_weights_other_seed_other_weights(project: Project) -> None:
    path = project.config("text-classification", train={"device": "cpu"})
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        project.train(path, f"run.name={name}", f"train.seed={seed}")
    a, b, c = (Path(f"runs/{name}/best/model.safetensors").read_bytes() for name in "abc")
    assert a == b
    assert a != c


@pytest.mark.parametrize(("task", "stop"), [*((task, 4) for task in TASKS), (TASKS[0], 1), (TASKS[0], 5)])
def test_resume_bit_exact(task: str, stop: int, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an epoch and between two, dropout on, in the middle of a window of the log."""
    loop = {"epochs": 4, "max_steps": 7, "batch_size": 2, "log_every": 3, "patience": 9, "device": "cpu"}
    as_if_killed_in_a_line = '{"kind": "train", "step": 999}\n{"kind": "tra'
    weights = assert_resumes_to_the_bit(
        project, project.config(task, train=loop), stop, monkeypatch, logged_beyond=as_if_killed_in_a_line
    )
    assert weights == {"best/model.safetensors", "checkpoints/step-7/model.safetensors"}


def test_resume_refuses_another_experiment(
    project: Project, finished: Callable[[str], None], refused: Callable[..., str]
) -> None:
    path = project.config("text-classification")
    assert "there is no such run to resume" in refused("train", path, "--resume")
    finished("text-classification")
    assert "optim.lr was 0.001 when the run was started and is 0.5 now" in refused(
        "train", path, "optim.lr=0.5", "--resume"
    )
    train_file = project.folder / "train.jsonl"
    train_file.write_text(train_file.read_text() + '{"text": "new", "label": "good"}\n')
    assert "train.jsonl: the file has changed since" in refused("train", path, "--resume")


def test_resume_of_a_finished_run_says_so(
    project: Project, finished: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    finished("text-classification")
    assert main(["train", str(project.config("text-classification")), "--resume"]) == 0
    assert "has already come to its end, at step 6" in capsys.readouterr().out


def test_earlier_run_moves_aside(project: Project) -> None:
    path = project.config("text-classification", train={"max_steps": 1})
    for _ in range(3):
        project.train(path)
    assert sorted(p.name for p in Path("runs").iterdir() if p.is_dir()) == ["config", "config-1", "config-2"]


def test_early_stopping_keeps_the_best(project: Project) -> None:
    path = project.config("text-classification", train={"epochs": 50, "patience": 3}, optim={"lr": 1e-9})
    project.train(path)
    validations = [record for record in project.metrics("config") if record["kind"] == "validation"]
    assert len(validations) == 4
    progress = json.loads(next(Path("runs/config/checkpoints").glob("*/progress.json")).read_text())
    assert (progress["best_step"], progress["stale"]) == (3, 3)


def test_validation_at_steps_and_at_the_end(project: Project) -> None:
    path = project.config("text-classification", train={"epochs": 3, "eval_every": 4})
    project.train(path)
    steps = [record["step"] for record in project.metrics("config") if record["kind"] == "validation"]
    assert steps == [4, 8, 9]


def test_training_without_validation_keeps_the_last(project: Project) -> None:
    path = project.config("text-classification", data={"validation": None})
    project.train(path)
    assert main(["evaluate", "runs/config", "--split", "test"]) == 0


def test_nan_stops(project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(project.config("text-classification"))
    setup = training.build(config, Console(quiet=True))
    before = {name: value.clone() for name, value in setup.model.state_dict().items()}
    monkeypatch.setattr(type(setup.task), "loss", lambda self, logits, labels: logits.sum() * float("nan"))
    with pytest.raises(training.NotFiniteError, match=r"lower optim\.lr"):
        training.optimizer_step(config, setup, [0, 1])
    assert all(torch.equal(value, before[name]) for name, value in setup.model.state_dict().items())
    assert main(["train", str(project.config("text-classification"))]) == 1
    assert "stopped:" in capsys.readouterr().err


def test_nan_stops_and_the_last_checkpoint_goes_on(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    path = project.config("text-classification", train={"eval_every": 1})
    taken = itertools.count(1)
    forward = training.forward

    def poisoned(*arguments: Any) -> torch.Tensor:
        return forward(*arguments) * (float("nan") if next(taken) == 3 else 1)

    with monkeypatch.context() as patched:
        patched.setattr(training, "forward", poisoned)
        with pytest.raises(training.NotFiniteError):
            project.train(path)
    assert newest_valid(Path("runs/config/checkpoints")) == (Path("runs/config/checkpoints/step-2"), [])
    assert training.train(load_config(path), resume=True, console=Console(quiet=True))


def test_two_trainings_do_not_share_a_folder(project: Project, refused: Callable[..., str]) -> None:
    with RunFolder(Path("runs/config")).claimed():
        assert "another training is writing here" in refused("train", project.config("text-classification"))


def test_weight_decay_groups(project: Project) -> None:
    setup = training.build(load_config(project.config("text-classification")), Console(quiet=True))
    groups = setup.optimizer.param_groups
    assert [group["weight_decay"] for group in groups] == [0.01, 0.0]
    assert all(parameter.ndim >= 2 for parameter in groups[0]["params"])
    assert all(parameter.ndim == 1 for parameter in groups[1]["params"])
    held = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in setup.model.parameters())


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("linear", [0, 0.5, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
        ("cosine", [0, 0.5, 1, 0.9619, 0.8536, 0.6913, 0.5, 0.3087, 0.1464, 0.0381]),
        ("constant", [0, 0.5, 1, 1, 1, 1, 1, 1, 1, 1]),
    ],
)
def test_lr_schedule(schedule: str, expected: list[float], project: Project) -> None:
    optim = {"schedule": schedule, "warmup": 0.2, "lr": 1e-3}
    path = project.config("text-classification", train={"max_steps": 10, "epochs": 9, "log_every": 1}, optim=optim)
    project.train(path)
    rates = [record["lr"] / 1e-3 for record in project.metrics("config") if record["kind"] == "train"]
    assert rates == pytest.approx(expected, abs=1e-4)


@needs_fork
def test_interrupt_saves(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    path = project.config("text-classification", train={"epochs": 5000, "log_every": 1})
    process = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(main(["train", str(path)])))
    process.start()
    wait_for("runs/config/metrics.jsonl", process)
    os.kill(process.pid or 0, signal.SIGINT)
    process.join(60)
    process.kill()
    assert process.exitcode == 130
    printed = capfd.readouterr().out
    saved = re.search(r"interrupted and saved at step (\d+)", printed)
    assert saved, printed
    assert Path(f"runs/config/checkpoints/step-{saved[1]}/manifest.json").is_file()


@pytest.mark.parametrize("wish", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_wish_and_a_second_ctrl_c_an_order(wish: signal.Signals) -> None:
    before = signal.getsignal(wish)
    with stop_signal() as stopped:
        signal.raise_signal(wish)
        assert stopped.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(wish) is before


@needs_fork
def test_killed_run_resumes(project: Project) -> None:
    path = project.config("text-classification", train={"epochs": 5000, "eval_every": 2, "device": "cpu"})
    process = multiprocessing.get_context("fork").Process(target=project.train, args=(path,))
    process.start()
    wait_for("runs/config/checkpoints/step-*[0-9]/manifest.json", process)
    process.kill()
    process.join()
    config = load_config(path)
    setup = training.build(config, Console(quiet=True))
    run = RunFolder(config.run_folder)
    progress = training.restore(run, setup.model, setup.optimizer, setup.schedule, Console(quiet=True))
    assert progress.step >= 2
