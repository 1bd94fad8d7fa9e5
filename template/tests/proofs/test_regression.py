"""Regression: standardised labels, predictions in their unit, metrics as in scikit-learn and SciPy."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SCORED, Project, build, needs
from safetensors.torch import load_file, save_file
from scipy import stats
from sklearn import metrics
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from finetune.cli import main
from finetune.config.load import load_config
from finetune.data.rows import Row
from finetune.errors import UserError
from finetune.files import write_manifest
from finetune.predict import Predictor
from finetune.run.folder import RunFolder
from finetune.run.saved_model import STANDARDIZED, load_saved_model
from finetune.tasks.regression import Example, RegressionTask
from finetune.tasks.settings import Regression

LABELS = [3.0, 5.5, -2.0, 100.0, 7.25]
EXAMPLES = [Example("x", None, label) for label in LABELS]


def fitted(loss: str = "mse") -> RegressionTask:
    task = RegressionTask(Regression.model_validate({"type": "regression", "loss": loss}))
    task.fit(EXAMPLES)
    return task


def test_targets_are_standardised_and_predictions_are_not() -> None:
    task = fitted()
    targets = [task.target(example)[0] for example in EXAMPLES]
    assert np.mean(targets) == pytest.approx(0)
    assert np.std(targets) == pytest.approx(1)
    assert task.predictions(EXAMPLES, [], targets) == pytest.approx(LABELS)


@pytest.mark.parametrize(("loss", "reference"), [("mse", torch.nn.MSELoss), ("huber", torch.nn.HuberLoss)])
def test_losses_are_sums_of_those_of_torch(loss: str, reference: type[torch.nn.Module]) -> None:
    logits, labels = 3 * torch.randn(7, 1, dtype=torch.float64), torch.randn(7, dtype=torch.float64)
    expected = reference(reduction="sum")(logits[:, 0], labels)
    torch.testing.assert_close(fitted(loss).loss(logits, labels), expected)


@pytest.mark.parametrize("label", ["high", "nan", float("inf"), True, [1]])
def test_labels_that_are_no_numbers_are_refused(label: object) -> None:
    with pytest.raises(UserError, match=r"x:1: the label is .*write a number"):
        fitted().parse([Row("x:1", {"text": "t", "label": label}, {})])


def test_numbers_may_be_strings() -> None:
    assert fitted().parse([Row("x:1", {"text": "t", "label": "3.5"}, {})])[0].label == 3.5


def test_equal_labels_are_refused() -> None:
    with pytest.raises(UserError, match="every label is 4"):
        RegressionTask(Regression(type="regression")).fit([Example("x", None, 4.0)] * 3)


def test_metrics_equal_those_of_scikit_learn_and_scipy() -> None:
    draw = random.Random(4)
    true = [draw.gauss(3, 2) for _ in range(50)]
    predicted = [value + draw.gauss(0, 1) for value in true]
    scores = fitted().score([Example("x", None, value) for value in true], predicted).metrics
    assert scores["r2"] == pytest.approx(metrics.r2_score(true, predicted))
    assert scores["rmse"] == pytest.approx(metrics.root_mean_squared_error(true, predicted))
    assert scores["mae"] == pytest.approx(metrics.mean_absolute_error(true, predicted))
    assert scores["pearson"] == pytest.approx(stats.pearsonr(true, predicted).statistic)
    assert scores["spearman"] == pytest.approx(stats.spearmanr(true, predicted).statistic)


def test_the_mean_explains_nothing() -> None:
    task = fitted()
    [(name, predictions)] = task.baselines(EXAMPLES, []).items()
    scores = task.score(EXAMPLES, predictions).metrics
    assert name == "always the mean, 22.8"
    assert (scores["r2"], scores["pearson"]) == pytest.approx((0, 0))


# ------------------------------------------------------------------------------------------- numbers for other programs

TEXTS = [text for text, _ in SCORED]


def trained(project: Project, method: str = "full", **sections: Any) -> Path:
    """A run on numbers of another scale than that of a model: around 900, 200 apart."""
    rows = [{"text": text, "label": 700 + 100 * score} for text, score in SCORED]
    project.write("scored.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    options: dict[str, Any] = {"train": {"max_steps": 6, "device": "cpu"}, "optim": {"lr": 0.01}, **sections}
    path = project.config("regression", method={"type": method}, data={"validation": None, "test": None}, **options)
    project.train(path)
    return path


def predicted(run: str = "runs/config") -> torch.Tensor:
    """What finetune predicts."""
    return torch.tensor([record["prediction"] for record in Predictor(RunFolder(Path(run))).predict_texts(TEXTS)])


def plain(model: Any, folder: str) -> torch.Tensor:
    """What a model of plain transformers says."""
    inputs = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        return torch.as_tensor(model.eval()(**inputs).logits[:, 0])


@needs("export")
@pytest.mark.parametrize("method", ["full", "head", "lora", "ia3"])
def test_plain_transformers_gives_the_numbers_of_the_data(method: str, project: Project) -> None:
    trained(project, method)
    ours = predicted()
    assert ours.std() > 1
    assert ours.mean() > 100
    assert main(["export", "runs/config", "exported"]) == 0
    for folder in ["exported"] if method in ("lora", "ia3") else ["exported", "runs/config/best"]:
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        torch.testing.assert_close(plain(model, folder), ours, rtol=1e-6, atol=0)


@pytest.mark.parametrize("method", ["lora", "prompt", "prefix"])
def test_peft_gives_the_numbers_of_the_data(method: str, project: Project) -> None:
    import peft

    trained(project, method)
    base = AutoModelForSequenceClassification.from_pretrained("runs/config/best/base", num_labels=1)
    model = peft.PeftModel.from_pretrained(base, "runs/config/best")
    torch.testing.assert_close(plain(model, "runs/config/best"), predicted(), rtol=1e-6, atol=0)


@needs("export")
@pytest.mark.parametrize("method", ["full", "adapter"])
def test_onnx_gives_the_numbers_of_the_data(method: str, project: Project) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    trained(project, method)
    assert main(["export", "runs/config", "exported", "--format", "onnx"]) == 0
    inputs = AutoTokenizer.from_pretrained("exported")(TEXTS, padding=True, return_tensors="np")
    [logits] = onnxruntime.InferenceSession("exported/model.onnx").run(["logits"], dict(inputs))
    torch.testing.assert_close(torch.from_numpy(logits[:, 0]), predicted(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("method", ["full", "lora", "adapter"])
def test_here_nothing_is_scaled_twice_and_no_bit_changes(method: str, project: Project) -> None:
    """The model that is loaded, and from which a training goes on, is the one that was trained."""
    path = trained(project, method)
    [checkpoint] = Path("runs/config/checkpoints").iterdir()
    weights = load_file(checkpoint / "model.safetensors")
    loaded = load_saved_model(Path("runs/config/best")).model.state_dict()
    heads = [name for name in weights if "classifier" in name and "original_module" not in name]
    assert len(heads) == 2
    assert all(torch.equal(weights[name], loaded[name]) for name in heads)
    further = build(load_config(path, ["continue_from=runs/config", "run.name=further"]))
    assert all(torch.equal(weights[name], further.model.state_dict()[name]) for name in heads)


def test_a_small_deviation_beside_a_large_mean_costs_no_precision(project: Project) -> None:
    rows = [{"text": text, "label": 1e6 + score} for text, score in SCORED]
    project.write("scored.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    project.train(project.config("regression", data={"validation": None, "test": None}, train={"max_steps": 3}))
    [checkpoint] = Path("runs/config/checkpoints").iterdir()
    bias = load_file(checkpoint / "model.safetensors")["classifier.bias"]
    assert torch.equal(load_saved_model(Path("runs/config/best")).model.classifier.bias, bias)
    assert load_file("runs/config/best/model.safetensors")["classifier.bias"] == pytest.approx(1e6, abs=10)


def test_models_of_earlier_versions_are_read_as_they_were_written(project: Project) -> None:
    trained(project)
    now, best = predicted(), Path("runs/config/best")
    weights, head = load_file(best / "model.safetensors"), load_file(best / STANDARDIZED)
    save_file(
        weights | {f"classifier.{name}": tensor for name, tensor in head.items()},
        best / "model.safetensors",
        metadata={"format": "pt"},
    )
    (best / STANDARDIZED).unlink()
    description = json.loads((best / "finetune.json").read_text())
    del description["data_units"]
    (best / "finetune.json").write_text(json.dumps(description))
    write_manifest(best)
    assert torch.equal(predicted(), now)


def test_a_model_whose_trained_head_is_gone_is_refused(project: Project, refused: Callable[..., str]) -> None:
    trained(project)
    Path("runs/config/best", STANDARDIZED).unlink()
    assert f"{STANDARDIZED} is missing" in refused("predict", "runs/config", "--text", "a")
    write_manifest(Path("runs/config/best"))
    assert "the model lacks weights" in refused("predict", "runs/config", "--text", "a")


@pytest.mark.parametrize("start", ["runs/config/best", "exported"])
@needs("export")
def test_a_new_training_starts_from_the_numbers_that_the_folder_gives(start: str, project: Project) -> None:
    """On data of another scale too: what it would predict without a step is what the folder predicts."""
    trained(project)
    assert main(["export", "runs/config", "exported"]) == 0
    ours = predicted()
    rows = [{"text": text, "label": 5 - 3 * score} for text, score in SCORED]
    project.write("scored.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    path = project.config("regression", "second", data={"validation": None, "test": None})
    setup = build(load_config(path, [f"model.name={start}", "train.device=cpu"]))
    mean, deviation = setup.task.standardization()
    assert (mean, deviation) != load_saved_model(Path("runs/config/best")).task.standardization()
    again = plain(setup.model.eval(), start) * deviation + mean
    torch.testing.assert_close(again, ours, rtol=1e-6, atol=0)
    ranking = build(load_config(project.config("ranking", "third"), [f"model.name={start}", "train.device=cpu"]))
    assert plain(ranking.model, start).abs().max() < 10  # scores as a model gives them, not hundreds


@needs("export")
def test_a_head_without_a_bias_says_that_its_numbers_are_standardized(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    path = trained(project, model={"name": "tiny:gpt2"})
    ours = predicted()
    setup = build(load_config(path))
    assert setup.start.notes == ["head: it has no bias, so in other programs best/ gives standardized numbers"]
    capsys.readouterr()
    assert main(["export", "runs/config", "exported"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "multiply them by the deviation and add the mean in exported/finetune.json" in out
    known = json.loads(Path("exported/finetune.json").read_text())
    assert not known["data_units"]
    model = AutoModelForSequenceClassification.from_pretrained("exported")
    standardized = plain(model, "exported")
    torch.testing.assert_close(
        standardized * known["state"]["deviation"] + known["state"]["mean"], ours, rtol=1e-6, atol=0
    )
