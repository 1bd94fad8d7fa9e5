"""Evaluation: how a task turns logits into predictions, scores them and shows them."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from torch import Tensor

from ..console import counted
from ..data.features import Feature
from ..errors import UserError
from .intervals import Array, bootstrap
from .preprocessing import E
from .results import Scores, WrongPrediction
from .settings import Direction, Generation, Settings

P = TypeVar("P")
"""A prediction for one example."""


class Evaluation(ABC, Generic[E, P]):
    """Logits → predictions → metrics. A task writes at least `decode`, `predictions` and `score`."""

    settings: Settings
    generation: Generation | None = None
    """How texts are generated, for tasks whose predictions are texts."""
    error_measure: ClassVar[str] = "probability"
    """What the magnitude of a wrong prediction is."""
    stop_tokens: Sequence[int] = ()
    """The tokens that end a generated text."""

    @property
    def metrics(self) -> dict[str, Direction]:
        """The metrics that `score` computes."""
        return self.settings.metrics

    @property
    def main_metric(self) -> str:
        """The metric that is reported first."""
        return self.settings.main_metric

    @property
    def selection_metric(self) -> str:
        """The metric that chooses the best step, unless `train.metric` is set."""
        return self.settings.selection_metric

    def generation_limit(self, purpose: str) -> int | None:
        """For how many examples a text is generated for the purpose (see `inference.Purpose`); None for all."""
        return None

    @abstractmethod
    def decode(self, logits: Tensor, labels: Tensor) -> list[Any]:
        """What `predictions` needs of the logits, an entry for each row of the batch, off the device."""

    def calibrate(self, examples: Sequence[E], features: Sequence[Feature], decoded: Sequence[Any]) -> None:
        """Choose on the validation data what training does not, such as a threshold; part of `state`."""

    @abstractmethod
    def predictions(self, examples: Sequence[E], features: Sequence[Feature], decoded: Sequence[Any]) -> list[P]:
        """One prediction for each example; `decoded` runs parallel to `features`."""

    @abstractmethod
    def score(self, examples: Sequence[E], predictions: Sequence[P]) -> Scores:
        """Metrics and tables of labelled examples."""

    def contributions(self, examples: Sequence[E], predictions: Sequence[P]) -> Array:
        """(units, k): what each labelled example adds to the sums of which the main metric is a function, `headline`.

        No columns where it is no function of sums: such a metric has no interval.
        """
        return np.zeros((len(examples), 0))

    def headline(self, sums: Array) -> Array:
        """The main metric, of shape (...), from the sums of contributions, of shape (..., k)."""
        raise NotImplementedError

    def has_headline(self, contributions: Array, value: float) -> bool:
        """Whether contributions sum up to the value of the main metric; not where a subclass has another one."""
        return contributions.size > 0 and math.isclose(self.headline(contributions.sum(0)), value, abs_tol=1e-9)

    def interval(self, contributions: Array, value: float) -> tuple[float, float] | None:
        """The 95 % bootstrap interval of the main metric, whose `value` is given; None where it has none.

        Where all examples contribute the same, such as all are right, resamples cannot tell how far it may be off.
        """
        if len(contributions) < 2 or not self.has_headline(contributions, value):
            return None
        low, high = bootstrap(contributions, self.headline)
        return (low, high) if low < high < math.inf else None  # False also for nan

    def size(self, examples: Sequence[E]) -> str:
        """How many examples there are, in words."""
        return counted(len(examples), "example")

    def baselines(self, examples: Sequence[E], features: Sequence[Feature]) -> dict[str, list[P]]:
        """Predictions of trivial models by name, which a trained model has to beat."""
        return {}

    def errors(self, examples: Sequence[E], predictions: Sequence[P]) -> list[WrongPrediction]:
        """The labelled examples that are predicted wrongly, in their order. Raises UserError without a rule."""
        raise UserError(f"{type(self).__name__}: does not say which predictions are wrong: write its method `errors`")

    def records(self, examples: Sequence[E], predictions: Sequence[P]) -> list[dict[str, Any]]:
        """What `predict` adds to each row that the examples were parsed from: prediction, probability, ..."""
        return [{"prediction": prediction} for prediction in predictions]

    def detailed_records(self, examples: Sequence[E], predictions: Sequence[P]) -> list[dict[str, Any]]:
        """What `predict --text` shows: the records, and what helps to understand a single prediction."""
        return self.records(examples, predictions)
