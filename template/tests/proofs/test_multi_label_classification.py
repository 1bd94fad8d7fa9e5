"""Multi-label classification: label sets, a threshold chosen on the validation data, metrics as in scikit-learn."""

import numpy as np
import pytest
import torch
from conftest import TAGGED
from scipy.special import logit
from sklearn import metrics

from finetune.data.rows import Row
from finetune.errors import UserError
from finetune.tasks.multi_label_classification import (
    Example,
    MultiLabelClassification,
    MultiLabelClassificationTask,
    Prediction,
)

EXAMPLES = [Example(text, None, labels) for text, labels in TAGGED]


def fitted(examples: list[Example] = EXAMPLES) -> MultiLabelClassificationTask:
    task = MultiLabelClassificationTask(MultiLabelClassification(type="multi-label-classification"))
    task.fit(examples)
    return task


@pytest.mark.parametrize("labels", [["a", "b"], "a, b", "a|b", "a;b"])
def test_labels_are_a_list_or_a_cell(labels: object) -> None:
    task = MultiLabelClassificationTask(MultiLabelClassification(type="multi-label-classification"))
    assert task.parse([Row("x:1", {"text": "t", "labels": labels}, {})])[0].labels == ["a", "b"]


def test_no_label_is_a_label_set_too() -> None:
    assert fitted().target(Example("x", None, [])) == [0.0, 0.0]


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [([{}], "list of strings"), ([1], "'1' does not occur"), (["biling"], r"'biling' does not occur")],
)
def test_bad_labels_are_refused(labels: object, sentence: str) -> None:
    with pytest.raises(UserError, match=rf"x:1: .*{sentence}"):
        fitted().parse([Row("x:1", {"text": "t", "labels": labels}, {})])


def test_loss_is_the_mean_over_labels_summed_over_examples() -> None:
    logits, labels = torch.randn(5, 2, dtype=torch.float64), torch.randint(0, 2, (5, 2)).double()
    expected = torch.nn.BCEWithLogitsLoss()(logits, labels) * 5
    torch.testing.assert_close(fitted().loss(logits, labels), expected)


def random_case(seed: int) -> tuple[list[Example], np.ndarray]:
    draw = np.random.default_rng(seed)
    examples = [Example("x", None, [n for n in ("billing", "login") if draw.random() < 0.3]) for _ in range(60)]
    return examples, draw.random((60, 2)).round(1).clip(0.01, 0.99)  # rounded: many probabilities are equal


@pytest.mark.parametrize("seed", range(2))
def test_threshold_is_the_best_of_all(seed: int) -> None:
    task = fitted()
    examples, probabilities = random_case(seed)

    def f1() -> float:
        predictions = task.predictions(examples, [], logit(probabilities))
        return task.score(examples, predictions).metrics["f1_micro"]

    task.calibrate(examples, [], logit(probabilities))
    chosen = f1()
    for task.threshold in np.arange(-0.05, 1.05, 0.1):
        assert f1() <= chosen + 1e-12


def test_threshold_survives_a_round_trip() -> None:
    task, other = fitted(), fitted()
    task.threshold = 0.3
    other.load_state(task.state())
    assert other.state() == task.state()


def test_metrics_equal_those_of_scikit_learn() -> None:
    task = fitted()
    examples, probabilities = random_case(9)
    predictions = task.predictions(examples, [], logit(probabilities))
    true, predicted = np.array([task.target(e) for e in examples]), probabilities > 0.5
    scores = task.score(examples, predictions).metrics
    for kind in ("micro", "macro", "weighted", "samples"):
        assert scores[f"f1_{kind}"] == pytest.approx(metrics.f1_score(true, predicted, average=kind, zero_division=0))
    assert scores["exact_match"] == pytest.approx((true == predicted).all(1).mean())
    assert task.score(EXAMPLES, [Prediction(e.labels or [], [0.5, 0.5]) for e in EXAMPLES]).metrics["f1_micro"] == 1.0


def test_a_single_label_is_enough() -> None:
    task = fitted([Example("x", None, ["a"]), Example("y", None, [])])
    examples = [Example("x", None, ["a"]), Example("y", None, [])]
    assert task.score(examples, [Prediction(["a"], [0.9]), Prediction([], [0.1])]).metrics["f1_micro"] == 1.0
