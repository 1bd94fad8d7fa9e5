"""`train.compile: auto`: on a GPU alone, and if the estimate says that it pays; a resumed run keeps the decision."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Project, build

from finetune.config.load import load_config
from finetune.errors import UserError
from finetune.run.folder import RunFolder
from finetune.train import compilation
from finetune.train.compilation import compile_if_wanted
from finetune.train.resume import with_same_choices

GPU, CPU = torch.device("cuda"), torch.device("cpu")
PAYS = 1e13 * 600 / (6 * 1000) * 1.01
"""Tokens for which 1,000 trained parameters take a little more than 600 seconds in fp32."""


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The models that are compiled."""
    models: list[Any] = []
    monkeypatch.setattr(compilation, "compile_layers", lambda model, _: models.append(model))
    return models


@pytest.mark.parametrize(
    ("override", "tokens", "device", "processes", "said"),
    [
        ("auto", PAYS, GPU, 1, "compile: on, as it saves about 61 of 606 seconds, and takes 60 (estimates)"),
        ("auto", PAYS, GPU, 2, "compile: off, as it saves about 30 of 303 seconds, and takes 60 (estimates)"),
        ("auto", PAYS, CPU, 1, "compile: off, as only a CUDA GPU gains"),
        ("true", 1, CPU, 1, None),
        ("false", PAYS, GPU, 1, None),
    ],
)
def test_what_is_compiled(
    override: str, tokens: float, device: torch.device, processes: int, said: str | None,
    project: Project, compiled: list[Any],
) -> None:  # fmt: skip
    config = load_config(project.config("text-classification"), [f"train.compile={override}"])
    model = torch.nn.Linear(1000, 1, bias=False)
    notes = compile_if_wanted(config, model, tokens, device, "fp32", processes)
    assert notes == ([said] if said else [])
    assert bool(compiled) == (override == "true" or "on, as" in str(said))


def test_frozen_weights_take_two_thirds_and_bf16_a_tenth() -> None:
    model = torch.nn.Linear(1000, 1, bias=False)
    whole = compilation.seconds_of_steps(model, 3e9, "fp32", 1)
    assert whole == pytest.approx(1.8)
    assert compilation.seconds_of_steps(model.requires_grad_(False), 3e9, "fp32", 1) == pytest.approx(whole * 2 / 3)
    assert compilation.seconds_of_steps(model, 3e9, "bf16", 1) == pytest.approx(whole * 2 / 3 / 10)


def test_auto_goes_without_what_cannot_be_compiled(
    project: Project, compiled: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings that true refuses, and a machine without a compiler."""
    model = torch.nn.Linear(1000, 1, bias=False)
    path = project.config("token-classification", train={"packing": True, "compile": "auto"})
    [said] = compile_if_wanted(load_config(path), model, PAYS, GPU, "fp32", 1)
    assert said.startswith("compile: off, as train.packing is true as well")
    with pytest.raises(UserError, match=r"train\.compile is true, but train\.packing"):
        load_config(path, ["train.compile=true"])

    def fails(*_: Any) -> None:
        raise UserError("train.compile: nothing can be compiled")

    monkeypatch.setattr(compilation, "compile_layers", fails)
    [said] = compile_if_wanted(load_config(path, ["train.packing=false"]), model, PAYS, GPU, "fp32", 1)
    assert said.startswith("compile: off, although it saves about 61 of 606 seconds")
    assert compiled == []


def test_a_resumed_run_keeps_the_decision(project: Project) -> None:
    """Also with more data and steps than before, and unless the config says something else now."""
    project.train(project.config("text-classification", train={"max_steps": 1, "compile": "auto"}))
    run, config = RunFolder(Path("runs/config")), load_config(Path("config.yaml"))
    assert run.environment()["compile"] is False
    file = next(path for path in run.path.rglob("environment.json"))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"compile": True}))
    assert with_same_choices(run, config).train.compile is True
    off = config.model_copy(update={"train": config.train.model_copy(update={"compile": False})})
    assert with_same_choices(run, off).train.compile is False


def test_the_summary_says_it(project: Project) -> None:
    setup = build(load_config(project.config("text-classification", train={"compile": "auto", "device": "cpu"})))
    assert setup.start.notes == ["compile: off, as only a CUDA GPU gains"]
