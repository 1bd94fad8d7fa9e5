"""The training loop: repeatable, stops early, keeps the best model, and every task overfits its training data."""

import itertools
import json
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import FILES, TASKS, Project, build
from rich.console import Console
from safetensors.torch import load_file

from finetune.cli import main
from finetune.config.load import load_config
from finetune.evaluate import evaluate
from finetune.run.folder import RunFolder
from finetune.train import loop as training
from finetune.train.checkpoint import newest_valid
from finetune.train.guards import NotFiniteError
from finetune.train.summary import describe_weights


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
    if evaluation["lower_is_better"]:  # a perplexity, which is 1 where every token is predicted with certainty
        assert score < 1.1 < 10 < baseline
        return
    whole = 100 if task == "translation" else 1
    wanted = 0.99 if task == "regression" else whole  # of the variance explained; numbers are never met exactly
    assert score > wanted - 1e-6
    assert baseline < 0.9 * whole


def test_method_head_trains_the_head_only(project: Project) -> None:
    path = project.config("text-classification", method={"type": "head"}, optim={"lr": 0.1})
    config = load_config(path)
    training.set_seed(config.train.seed)
    before = training.build(config).model.state_dict()
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


def test_early_stopping_keeps_the_best(project: Project) -> None:
    path = project.config(
        "text-classification", train={"epochs": 50, "patience": 3, "precision": "fp32"}, optim={"lr": 1e-30}
    )
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
    setup = training.build(config)
    before = {name: value.clone() for name, value in setup.model.state_dict().items()}
    monkeypatch.setattr(type(setup.task), "loss", lambda self, logits, labels: logits.sum() * float("nan"))
    with pytest.raises(NotFiniteError, match=r"lower optim\.lr"):
        training.optimizer_step(config, setup, [0, 1])
    assert all(torch.equal(value, before[name]) for name, value in setup.model.state_dict().items())
    assert main(["train", str(project.config("text-classification"))]) == 1
    assert "stopped:" in capsys.readouterr().err


def test_nan_stops_and_the_last_checkpoint_goes_on(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    path = project.config("text-classification", train={"eval_every": 1})
    taken = itertools.count(1)
    forward = training.forward

    def poisoned(*arguments: Any, **options: Any) -> torch.Tensor:
        return forward(*arguments, **options) * (float("nan") if next(taken) == 3 else 1)

    with monkeypatch.context() as patched:
        patched.setattr(training, "forward", poisoned)
        with pytest.raises(NotFiniteError):
            project.train(path)
    assert newest_valid(Path("runs/config/checkpoints")) == (Path("runs/config/checkpoints/step-2"), {})
    assert training.train(load_config(path), resume=True, console=Console(quiet=True))


def test_dropout_is_active_in_training_only(project: Project) -> None:
    """With next to no learning rate the weights stay: two steps differ by their dropout, two validations do not."""
    config = load_config(project.config("text-classification", train={"device": "cpu"}, optim={"lr": 1e-12}))
    setup = build(config)
    first, second = (training.optimizer_step(config, setup, range(4)).loss for _ in range(2))
    assert first != pytest.approx(second, rel=1e-6)
    project.train(project.config("text-classification", train={"eval_every": 1, "max_steps": 2}, optim={"lr": 1e-12}))
    losses = [record["loss"] for record in project.metrics("config") if record["kind"] == "validation"]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize("task", ["text-classification", "token-classification", "text-generation", "translation"])
def test_logits_are_freed_before_the_backward_pass(
    task: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(project.config(task, train={"device": "cpu"}))
    setup = build(config)
    forward, backward = training.forward, torch.Tensor.backward
    logits: list[weakref.ref[torch.Tensor]] = []
    alive: list[bool] = []

    def watched(*arguments: Any, **options: Any) -> torch.Tensor:
        made: torch.Tensor = forward(*arguments, **options)
        logits.append(weakref.ref(made))
        return made

    def checked(*arguments: Any) -> None:
        alive.append(logits[-1]() is not None)
        backward(*arguments)

    monkeypatch.setattr(training, "forward", watched)
    monkeypatch.setattr(torch.Tensor, "backward", checked)
    training.optimizer_step(config, setup, range(2))
    assert alive
    assert not any(alive)


@pytest.mark.parametrize(
    ("size", "shown"), [(49_000, "49.0 kB"), (512, "0.5 kB"), (1_200_000, "1.2 MB"), (7_200_000_000, "7.2 GB")]
)
def test_small_weights_are_not_shown_as_none(size: int, shown: str) -> None:
    """The head of a frozen model may have a few thousand weights."""
    formats = {("frozen", "bf16"): 44_000_000, ("trained", "fp32"): size}
    assert describe_weights(formats) == [f"weights: 44.0 MB frozen in bf16, {shown} trained in fp32"]
