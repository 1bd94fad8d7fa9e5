"""Regression: a number for a text or a pair of texts."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..data.features import Feature
from ..data.numbers import number_of
from ..data.rows import Row
from ..errors import UserError
from .intervals import Array
from .objective import at_least_fp32
from .results import Scatter, Scores, Summary, WrongPrediction
from .settings import Regression
from .state import Finite, Positive, TextState
from .tabular import Values
from .texts import TextTask, is_scored, joined, pair_of


@dataclass(frozen=True, slots=True)
class Example:
    """A text, perhaps its partner, and its number where it is known."""

    text: str
    text_pair: str | None
    label: float | None
    extra: Values = ()
    """Its tabular features."""


class Fitted(TextState):
    """By which the labels are standardized."""

    mean: Finite
    deviation: Positive


class RegressionTask(TextTask[Example, float]):
    """Squared or Huber error on standardized numbers; metrics and predictions are in the unit of the data."""

    settings: Regression
    fitted = Fitted
    error_measure = "absolute error"

    def __init__(self, settings: Regression) -> None:
        super().__init__(settings)
        self.mean, self.deviation = 0.0, 1.0

    def example(self, row: Row) -> Example:
        (text, pair), extra = pair_of(row), self.tabular.read(row)
        label = row.values.get("label")
        if label is None:
            return Example(text, pair, None, extra)
        return Example(text, pair, number_of(label, row.place, "the label"), extra)

    def fit_targets(self, examples: Iterable[Example]) -> None:
        labels = torch.tensor([example.label for example in examples], dtype=torch.float64)
        self.mean, self.deviation = float(labels.mean()), float(labels.std(correction=0))
        if self.deviation == 0:
            raise UserError(f"data.train: every label is {self.mean:g}: a regression needs numbers that differ")

    def extend_targets(self, examples: Iterable[Example]) -> None:
        for _ in examples:  # mean and deviation stay
            pass

    def model_options(self) -> dict[str, Any]:
        return {"num_labels": 1, "problem_type": "regression"}

    def standardization(self) -> tuple[float, float]:
        return self.mean, self.deviation

    def summary(self, example: Example) -> Summary:
        return Summary(tuple(self.texts([example])), f"{example.label:g}", number=example.label, others=example.extra)

    def target(self, example: Example) -> list[float]:
        return [0.0 if example.label is None else (example.label - self.mean) / self.deviation]

    def batch_labels(self, features: Sequence[Feature], length: int) -> Tensor:
        return torch.tensor([feature.labels[0] for feature in features], dtype=torch.float64)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        predicted = at_least_fp32(logits).squeeze(-1)
        labels = torch.where(is_scored(labels), labels, predicted.detach()).to(predicted.dtype)  # else no loss
        if self.settings.loss == "huber":
            return F.huber_loss(predicted, labels, reduction="sum")
        return F.mse_loss(predicted, labels, reduction="sum")

    def distillation_loss(self, logits: Tensor, targets: Tensor, labels: Tensor, temperature: float) -> Tensor:
        scored = is_scored(labels)
        return F.mse_loss(at_least_fp32(logits[scored]), at_least_fp32(targets[scored]), reduction="sum")

    def decode(self, logits: Tensor, labels: Tensor) -> list[Any]:
        return at_least_fp32(logits).squeeze(-1).tolist()

    def predictions(
        self, examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any]
    ) -> list[float]:
        return [value * self.deviation + self.mean for value in self.of_examples(features, decoded)]

    def score(self, examples: Sequence[Example], predictions: Sequence[float]) -> Scores:
        from scipy.stats import spearmanr
        from sklearn import metrics

        true = [example.label or 0.0 for example in examples]
        varied = len(set(true)) > 1 and len(set(predictions)) > 1
        mean_squared_error = metrics.mean_squared_error(true, predictions)
        return Scores(
            metrics={
                "r2": float(metrics.r2_score(true, predictions)) if len(true) > 1 else 0.0,
                "rmse": math.sqrt(mean_squared_error),
                "mae": float(metrics.mean_absolute_error(true, predictions)),
                # A constant has no correlation with anything.
                "pearson": float(torch.corrcoef(torch.tensor([true, predictions]))[0, 1]) if varied else 0.0,
                "spearman": float(spearmanr(true, predictions).statistic) if varied else 0.0,
            },
            scatters=[Scatter("Predicted against true", true, list(predictions))],
        )

    def contributions(self, examples: Sequence[Example], predictions: Sequence[float]) -> Array:
        """y, y^2, squared error, 1; y less its mean, for R2 stays the same and rounds less."""
        true = np.array([example.label or 0.0 for example in examples])
        y, ones = true - true.mean(), np.ones(len(true))
        return np.stack([y, y * y, np.square(true - np.array(predictions)), ones], 1)

    def headline(self, sums: Array) -> Array:
        """R2; as in scikit-learn, where all true values are equal 0, and 1 for predictions without error."""
        y, squares, errors, count = np.moveaxis(sums, -1, 0)
        spread = squares - y * y / count
        is_equal = spread <= 1e-12 * squares  # but for rounding
        r2: Array = np.where(is_equal, (errors == 0) & (count > 1), 1 - errors / np.where(is_equal, 1.0, spread))
        return r2

    def baselines(self, examples: Sequence[Example], features: Sequence[Feature]) -> dict[str, list[float]]:
        return {f"always the mean, {self.mean:.3g}": [self.mean] * len(examples)}

    def errors(self, examples: Sequence[Example], predictions: Sequence[float]) -> list[WrongPrediction]:
        """Sized by the absolute error, in the unit of the data."""
        return [
            WrongPrediction(row, joined(example), f"{true:g}", f"{predicted:.3g}", abs(predicted - true))
            for row, (example, predicted) in enumerate(zip(examples, predictions, strict=True))
            if (true := example.label or 0.0) != predicted
        ]
