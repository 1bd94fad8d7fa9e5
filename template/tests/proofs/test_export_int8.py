"""Dynamic quantization: a smaller model, its metric before and after, and a refusal where nothing is quantized."""

import importlib.util
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import QUIET, Project, weights_that_matter

from finetune.cli import main
from finetune.evaluate import evaluate
from finetune.export import onnx as export_onnx
from finetune.run.folder import RunFolder

MISSING = [name for name in export_onnx.PACKAGES if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"pip install {' '.join(MISSING)}, which are optional")


@pytest.fixture
def run(project: Project, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], RunFolder]:
    def train(task: str) -> RunFolder:
        weights_that_matter(monkeypatch)
        if task == "regression":  # numbers of another scale than that of a model
            rows = [{"text": text, "label": 700 + 100 * n} for n, text in enumerate(["bad", "so so", "good", "best"])]
            for name in ("scored.jsonl", "scored-validation.jsonl"):
                project.write(name, "".join(f"{json.dumps(row)}\n" for row in rows))
        project.train(project.config(task, train={"max_steps": 4, "device": "cpu"}, optim={"lr": 0.01}))
        return RunFolder(Path("runs/config"))

    return train


@pytest.mark.parametrize("task", ["text-classification", "regression", "text-generation"])
def test_the_metric_is_measured_before_and_after(
    task: str, run: Callable[[str], RunFolder], capsys: pytest.CaptureFixture[str]
) -> None:
    import onnx

    trained = run(task)
    truth = evaluate(trained, "validation", None, QUIET)
    assert main(["export", "latest", "full", "--format", "onnx"]) == 0
    capsys.readouterr()
    assert main(["export", "latest", "small", "--format", "onnx", "--int8"]) == 0
    told = json.loads(Path("small/finetune.json").read_text())["int8"]
    assert told["metric"] == truth["headline"]
    assert told["fp32"] == pytest.approx(truth["metrics"][truth["headline"]], rel=1e-4)
    assert 0 < abs(told["int8"]) < float("inf")
    if task != "text-classification":  # whose metric of five texts may be the same
        assert told["int8"] != told["fp32"]
    line = f"{told['metric']} on the validation data: {told['int8']:.4f} with int8, {told['fp32']:.4f} without"
    assert line in capsys.readouterr().out
    assert re.search(f"Quantized to 8 bits .*: {told['metric']} ", Path("small/README.md").read_text())
    operators = [node.op_type for node in onnx.load("small/model.onnx").graph.node]
    assert operators.count("MatMulInteger") > 8
    assert Path("small/model.onnx").stat().st_size < Path("full/model.onnx").stat().st_size / 2
    assert {path.name for path in Path("small").iterdir()} == {path.name for path in Path("full").iterdir()}


def test_what_stays_unquantized_is_refused(
    run: Callable[[str], RunFolder], refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime.quantization

    def copy(source: Path, target: Path, **_: Any) -> None:
        shutil.copy(source, target)

    run("text-classification")
    monkeypatch.setattr(onnxruntime.quantization, "quantize_dynamic", copy)
    sentence = refused("export", "runs/config", "new", "--format", "onnx", "--int8")
    assert sentence == "--int8: onnxruntime found no matrix to quantize in this model: leave out --int8"
    assert not [path for path in Path.cwd().iterdir() if path.name.startswith("new")]
