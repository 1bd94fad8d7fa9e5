"""Resuming where a part of the model is frozen: checkpoints leave it out, and the base model brings it back."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Project, assert_resumes_to_the_bit, needs, save_base_model, with_prices
from method_checks import ADDING
from safetensors.torch import load_file

from finetune.config.load import load_config
from finetune.train import loop as training
from finetune.train.state_file import load_state

STEPS = {"epochs": 4, "batch_size": 2, "log_every": 3, "device": "cpu", "max_steps": 6, "eval_every": 3}


def assert_resumes_without_frozen_weights(
    project: Project, task: str, method: dict[str, Any], monkeypatch: pytest.MonkeyPatch, **sections: Any
) -> None:
    """To the bit, from checkpoints that hold the trained weights and nothing of the body."""
    model = save_base_model(project, task)
    path = project.config(task, model=model, method=method, train=STEPS, optim={"lr": 0.01}, **sections)
    assert_resumes_to_the_bit(project, path, 4, monkeypatch)
    parameters = dict(training.build(load_config(path)).model.named_parameters())
    for step in (4, 6):
        folder = Path(f"runs/cut/checkpoints/step-{step}")
        if folder.is_dir():
            weights = load_file(folder / "model.safetensors")
            assert {name for name, p in parameters.items() if p.requires_grad} <= weights.keys()
            assert not weights.keys() & {name for name, p in parameters.items() if not p.requires_grad}
            assert [*json.loads((folder / "base.json").read_text())["files"]] == ["model.safetensors"]
    whole, cut = (load_state(Path(f"runs/{run}/checkpoints/step-6/trainer")) for run in ("whole", "cut"))
    assert str(whole["random"]) == str(cut["random"])
    for number, state in whole["optimizer"]["state"].items():
        assert all(torch.equal(value, cut["optimizer"]["state"][number][name]) for name, value in state.items())


@pytest.mark.parametrize("method", ["head", *ADDING])
def test_every_method(method: str, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    added = {"dropout": 0.1} if method in ("lora", "adalora", "adapter") else {}
    assert_resumes_without_frozen_weights(project, "text-classification", {"type": method, **added}, monkeypatch)


@pytest.mark.parametrize("method", ["lora", "prompt"])
@pytest.mark.parametrize("task", ["chat", "translation"])
def test_tied_weights(task: str, method: str, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_resumes_without_frozen_weights(project, task, {"type": method}, monkeypatch)


def test_tabular_features(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with_prices(project, "regression")
    data = {"features": {"price": "number", "brand": "category"}}
    assert_resumes_without_frozen_weights(project, "regression", {"type": "lora"}, monkeypatch, data=data)


@needs("continual")
@pytest.mark.parametrize("method", ["head", "lora"])
@pytest.mark.parametrize("remedy", ["replay", "ewc", "distillation"])
def test_further_training(remedy: str, method: str, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    model = save_base_model(project, "text-classification")
    sections = {"model": model, "method": {"type": method}, "train": STEPS}
    project.train(project.config("text-classification", "first", **sections))
    path = project.config("text-classification", "further", continual={"type": remedy}, **sections)
    path.write_text(f"{path.read_text()}continue_from: runs/first\n")
    assert_resumes_to_the_bit(project, path, 4, monkeypatch)
    assert Path("runs/cut/checkpoints/step-6/base.json").is_file()
