"""Regression: standardised labels, predictions in their unit, metrics as in scikit-learn and SciPy."""

import random

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics

from finetune.data.rows import Row
from finetune.errors import UserError
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
