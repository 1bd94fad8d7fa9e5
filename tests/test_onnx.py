"""ONNX export: the example in the README of a project."""

import ast
import json
import re

import pytest
from conftest import Bake
from finetune.cli import main
from finetune.config.load import load_config
from finetune.console import quiet_libraries
from finetune.train.loop import train
from rich.console import Console


def test_the_example_of_the_readme_says_what_predict_says(
    bake_project: Bake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = bake_project(task="multi-label-classification")
    monkeypatch.chdir(project)
    quiet_libraries()
    config = load_config(
        project / "configs/demo.yaml", ["train.max_steps=40", "train.device=cpu", "train.eval_every=40"]
    )
    assert train(config, console=Console(quiet=True))
    assert main(["export", "latest", "my-model", "--format", "onnx"]) == 0
    (code,) = re.findall(r"```python\n(.*?)```", (project / "README.md").read_text("utf-8"), re.DOTALL)
    capsys.readouterr()
    exec(code, names := {})  # type: ignore[var-annotated]
    printed = capsys.readouterr().out
    texts = [argument for text in names["texts"] for argument in ("--text", text)]
    assert main(["predict", "latest", *texts]) == 0
    predicted = [json.loads(line)["prediction"] for line in capsys.readouterr().out.splitlines()]
    assert ast.literal_eval(printed) == predicted
    assert any(predicted)
