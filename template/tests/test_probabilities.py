"""Temperature scaling and answers that are withheld: of predict, of the saved model, of an ONNX export."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Project, build, needs
from scipy.special import logit, softmax

from finetune.cli import main
from finetune.config.load import load_config
from finetune.data.features import Feature
from finetune.errors import UserError
from finetune.files import write_manifest
from finetune.predict import Predictor
from finetune.run.folder import RunFolder
from finetune.tasks.probabilities import COLDEST, HOTTEST, fit_temperature
from finetune.tasks.token_classification import Prediction

RUN = "runs/config"
CALIBRATED = ["text-classification", "multi-label-classification", "token-classification"]


def drawn(rows: int, labels: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and for each row a label drawn with the probabilities that they mean."""
    draw = np.random.default_rng(seed)
    logits = 2 * draw.standard_normal((rows, labels))
    passed = softmax(logits, -1).cumsum(-1) > draw.random((rows, 1))
    return logits, passed.argmax(-1)


def give_temperature(temperature: Any) -> None:
    """Replace that of the saved model; without one, the model is as those of earlier versions."""
    file = Path(RUN, "best", "finetune.json")
    content = json.loads(file.read_text())
    content["state"].pop("temperature", None)
    content["state"] |= {} if temperature == "missing" else {"temperature": temperature}
    file.write_text(json.dumps(content))
    write_manifest(file.parent)


def task_with(project: Project, kind: str, **state: Any) -> tuple[Any, list[Any]]:
    setup = build(load_config(project.config(kind, train={"device": "cpu"})))
    for name, value in state.items():
        setattr(setup.task, name, value)
    return setup.task, list(setup.train.examples)


def test_the_temperature_of_calibrated_logits_is_1() -> None:
    assert fit_temperature(*drawn(50_000)) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("factor", [0.25, 1.7, 4.0])
def test_a_factor_of_the_logits_is_found(factor: float) -> None:
    logits, true = drawn(2000)
    assert fit_temperature(factor * logits, true) == pytest.approx(factor * fit_temperature(logits, true), rel=1e-5)


def test_a_constant_prediction_gets_the_share_of_right_answers() -> None:
    """Logits 4 and 0 for a label that 70 of 100 have: 4 / T must be the logit of their share, with one half more."""
    logits, true = np.tile([4.0, 0.0], (100, 1)), np.array([0] * 70 + [1] * 30)
    assert fit_temperature(logits, true) == pytest.approx(4 / logit(70.5 / 101), rel=1e-5)


def test_right_predictions_alone_do_not_make_a_model_certain() -> None:
    """Without the additional example the temperature would be 0; with it, 40 right ones are 40.5 of 41."""
    logits, true = np.tile([4.0, 0.0], (40, 1)), np.zeros(40, int)
    assert softmax([4 / fit_temperature(logits, true), 0])[0] == pytest.approx(40.5 / 41, rel=1e-5)


def test_limits_and_nothing_to_choose_by() -> None:
    logits, _ = drawn(500)
    assert fit_temperature(logits, logits.argmin(-1)) == HOTTEST, "worse than chance"
    assert fit_temperature(logits / 1e3, logits.argmax(-1)) == COLDEST
    assert fit_temperature(np.ones((9, 3)), np.zeros(9, int)) == fit_temperature(np.empty((0, 3)), []) == 1


def test_of_many_rows_evenly_spaced_ones_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, true = drawn(20_000)
    whole = fit_temperature(logits, true)
    monkeypatch.setattr("finetune.tasks.probabilities.MOST_ROWS", 5000)
    assert fit_temperature(logits, true) == fit_temperature(logits[::4], true[::4]) != whole
    assert fit_temperature(logits, true) == pytest.approx(whole, rel=0.05)


@pytest.mark.parametrize("kind", CALIBRATED)
def test_answers_do_not_depend_on_the_temperature(kind: str, project: Project) -> None:
    """For multi-label, the threshold moves with the probabilities."""
    task, examples = task_with(project, kind)
    features = build(load_config(project.config(kind, train={"device": "cpu"}))).train.features
    draw = np.random.default_rng(1)
    rows = [(len(f.words), len(task.labels)) if f.words else len(task.labels) for f in features]
    decoded = [3 * draw.standard_normal(shape) for shape in rows]
    task.calibrate(examples, features, decoded)
    assert task.temperature != 1
    answers = [task.records(examples, t.predictions(examples, features, decoded))
               for t in map(task.at_temperature, (0.3, 1.0, task.temperature, 9.0))]  # fmt: skip
    predicted = [[one["prediction"] for one in records] for records in answers]
    assert predicted[0] == predicted[1] == predicted[2] == predicted[3]
    assert answers[0] != answers[1] != answers[2]


def test_calibration_can_be_off(project: Project) -> None:
    task, examples = task_with(project, "text-classification", temperature=3.0)
    logits = drawn(len(examples), 2)[0]
    task.calibrate(examples, [], logits)
    assert task.temperature not in (1.0, 3.0)
    task.settings = task.settings.model_copy(update={"calibration": "none"})
    task.calibrate(examples, [], logits)
    assert task.temperature == 1.0


def test_all_windows_of_a_text_have_one_probability(project: Project) -> None:
    """The temperature divides the mean of their logits."""
    task, examples = task_with(project, "text-classification", temperature=2.0, overflow="windows")
    features = [Feature(0, {}, [0], 1), Feature(0, {}, [-100], 0)]
    (prediction,) = task.predictions(examples[:1], features, [np.array([2.0, 0.0])] * 2)
    assert prediction.probabilities == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.exp(1))])


def test_a_damaged_temperature_is_refused(finished: Callable[[str], None]) -> None:
    finished("text-classification")
    for damaged in (0, -1, math.nan, 1e9, "warm", None):
        give_temperature(damaged)
        with pytest.raises(UserError, match=r"finetune\.json: .*put back an intact copy"):
            Predictor(RunFolder(Path(RUN)))
    give_temperature("missing")
    assert Predictor(RunFolder(Path(RUN))).task.temperature == 1.0, "a model of an earlier version"


@pytest.mark.parametrize("kind", CALIBRATED)
def test_predict_divides_the_logits_of_the_saved_model(kind: str, finished: Callable[[str], None]) -> None:
    finished(kind)

    def logits(temperature: float) -> np.ndarray:
        give_temperature(temperature)
        (record,) = Predictor(RunFolder(Path(RUN))).predict_texts(["Ada Byron lives in Turin"])
        shares = record["probabilities"]
        values = np.array(list(shares.values()) if isinstance(shares, dict) else shares)
        return np.asarray(temperature * (np.log(values) if kind == "text-classification" else logit(values)))

    plain, warm = logits(1.0), logits(4.0)
    if kind == "text-classification":
        plain, warm = plain - plain[0], warm - warm[0]
    if kind == "token-classification":  # of each word the likeliest tag alone
        assert (warm / 4 < plain).all()
    else:
        np.testing.assert_allclose(warm, plain, rtol=1e-9)


@needs("export", "serving")
@pytest.mark.parametrize("kind", CALIBRATED)
def test_exports_have_the_temperature_in_their_head(kind: str, finished: Callable[[str], None]) -> None:
    """Plain transformers and onnxruntime compute the probabilities that predict does."""
    pytest.importorskip("onnxruntime")
    from finetune.config.config import Config
    from finetune.serving.model import ServedModel, Source
    from finetune.serving.service import rows_from_objects

    finished(kind)
    give_temperature(2.5)
    run = RunFolder(Path(RUN))
    expected = Predictor(run).predict_rows([{"text": "Ada Byron lives in Turin"}])
    assert main(["export", RUN, "plain"]) == main(["export", RUN, "graph", "--format", "onnx"]) == 0
    exported = {name: json.loads(Path(name, "finetune.json").read_text())["state"] for name in ("plain", "graph")}
    assert [state["temperature"] for state in exported.values()] == [1.0, 1.0]

    config: Config = run.config()
    for onnx in (None, Path("graph")):
        model = ServedModel(Source(run, config, onnx), 1000)
        columns = Predictor(run).columns
        examples, encoded = model.encode(rows_from_objects([{"text": "Ada Byron lives in Turin"}], columns))
        decoded = model.compute(encoded.features, None, lambda row, tokens: False)
        records, _ = model.records(examples, encoded, decoded, None)
        assert flat(records) == pytest.approx(flat(expected), abs=1e-5)

    saved = Predictor(run)._saved
    from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

    auto = AutoModelForTokenClassification if kind == "token-classification" else AutoModelForSequenceClassification
    batch = saved.tokenizer(["Ada Byron lives in Turin"], return_tensors="pt")
    with torch.no_grad():
        raw = saved.model.cpu()(**batch).logits
        folded = auto.from_pretrained("plain")(**batch).logits
    torch.testing.assert_close(folded * 2.5, raw)


def flat(value: Any) -> list[float]:
    """All numbers of a record."""
    if isinstance(value, dict):
        value = list(value.values())
    return [number for one in value for number in flat(one)] if isinstance(value, list) else (
        [float(value)] if isinstance(value, float) else []
    )  # fmt: skip


def test_text_classification_withholds_the_label(project: Project) -> None:
    task, examples = task_with(project, "text-classification")
    predictions = task.predictions(examples[:2], [], np.log([[0.1, 0.9], [0.4, 0.6]]))
    kept, count = task.withhold(predictions, 0.8)
    assert ([one.label for one in kept], count) == (["good", None], 1)
    assert [record["probability"] for record in task.records(examples[:2], kept)] == pytest.approx([0.9, 0.6])
    assert task.withhold(predictions, 0.6)[1] == 0, "as probable as asked for is enough"


def test_multi_label_classification_leaves_labels_out(project: Project) -> None:
    task, examples = task_with(project, "multi-label-classification")
    predictions = task.predictions(examples[:2], [], logit([[0.9, 0.6], [0.55, 0.2]]))
    kept, count = task.withhold(predictions, 0.8)
    assert ([one.labels for one in kept], count) == ([["billing"], []], 2)


def test_token_classification_leaves_entities_out(project: Project) -> None:
    task, _ = task_with(project, "token-classification")
    tags = ["B-PER", "I-PER", "O", "B-LOC"]
    kept, count = task.withhold([Prediction(tags, [0.9, 0.7, 0.5, 0.95])], 0.8)
    assert (kept[0].tags, count) == (["O", "O", "O", "B-LOC"], 1)
    assert kept[0].probabilities == [0.9, 0.7, 0.5, 0.95]
    task.labels = ["NOUN", "VERB"]
    kept, count = task.withhold([Prediction(["NOUN", "VERB"], [0.9, 0.7])], 0.8)
    assert (kept[0].tags, count) == (["NOUN", "_"], 1), "a plain tag stands for its word"


def test_answers_and_whether_they_are_right(project: Project) -> None:
    task, examples = task_with(project, "token-classification")  # Ada Byron (PER), Turin (LOC)
    tags = ["B-PER", "I-PER", "O", "O", "B-ORG", "B-LOC"]
    shares, right = task.answers(examples[:1], [Prediction(tags, [0.9, 0.7, 0.6, 0.6, 0.8, 0.5])])
    assert (shares.tolist(), right.tolist()) == ([0.7, 0.8, 0.5], [True, False, False])
    task, examples = task_with(project, "multi-label-classification")  # billing; billing and login
    shares, right = task.answers(examples[:2], task.predictions(examples[:2], [], logit([[0.9, 0.6], [0.8, 0.2]])))
    assert (shares.tolist(), right.tolist()) == (pytest.approx([0.9, 0.6, 0.8]), [True, False, True])
    task, examples = task_with(project, "text-classification")  # good, bad
    shares, right = task.answers(examples[:2], task.predictions(examples[:2], [], np.log([[0.1, 0.9], [0.4, 0.6]])))
    assert (shares.tolist(), right.tolist()) == (pytest.approx([0.9, 0.6]), [True, False])


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_predict_writes_no_label_where_it_is_withheld(suffix: str, finished: Callable[[str], None]) -> None:
    finished("text-classification")
    rows = {"jsonl": '{"text": "a fine day"}\n', "csv": "text\na fine day\n"}
    Path(f"new.{suffix}").write_text(rows[suffix])
    assert main(["predict", RUN, f"new.{suffix}", "--min-confidence", "1"]) == 0
    written = Path(RUN, "predictions", f"new.{suffix}").read_text()
    if suffix == "jsonl":
        record = json.loads(written)
        assert record["prediction"] is None
        assert 0 < record["probability"] < 1
    else:
        header, line = (row.split(",") for row in written.splitlines())
        cells = dict(zip(header, line, strict=True))
        assert cells["prediction"] == ""
        assert float(cells["probability"]) < 1


@pytest.mark.parametrize("value", ["1.5", "-0.1", "nan", "sure"])
def test_what_is_no_probability_is_refused(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", RUN, "--text", "a", "--min-confidence", value]) == 2
    assert "Invalid value for '--min-confidence'" in capsys.readouterr().err


def test_a_task_without_probabilities_withholds_nothing(
    finished: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    finished("regression")
    assert main(["predict", RUN, "--text", "a", "--min-confidence", "0.5"]) == 2
    assert "the answers of regression have no probability: leave it out" in capsys.readouterr().err
