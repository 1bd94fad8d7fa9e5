"""Tasks whose predictions have probabilities: temperature scaling, and answers that are withheld as too improbable.

Temperature scaling (Guo et al. 2017) divides the logits by one number, chosen on the validation data. The order of the
labels stays the same, and with it every answer.
"""

from abc import abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..data.features import Feature
from ..errors import UserError
from .base import Task
from .evaluation import P
from .intervals import Array
from .objective import at_least_fp32
from .preprocessing import E
from .settings import ProbabilitySettings, Settings
from .state import COLDEST, HOTTEST

MOST_ROWS = 50_000
"""Scored labels that a temperature is chosen on; of more, evenly spaced ones, which give it to three digits."""


class ProbabilityTask(Task[E, P]):
    """A task that decodes logits, and whose predictions are made of their probabilities."""

    settings: ProbabilitySettings
    temperature = 1.0
    """What logits are divided by before they become probabilities."""

    def at_temperature(self, temperature: float) -> Self:
        """The same task with another temperature, which gives the same answers."""
        changed = copy(self)
        changed.temperature = temperature
        return changed

    def decode(self, logits: Tensor, labels: Tensor) -> list[Any]:
        return list(at_least_fp32(logits.detach()).cpu().numpy())

    def calibrate(self, examples: Sequence[E], features: Sequence[Feature], decoded: Sequence[Any]) -> None:
        self.calibrate_with(*self.labelled_logits(examples, features, decoded))

    def calibrate_with(self, logits: Array, true: NDArray[np.int64]) -> None:
        """Choose the temperature by what `labelled_logits` gives."""
        self.temperature = fit_temperature(logits, true) if self.settings.calibration == "temperature" else 1.0

    @abstractmethod
    def labelled_logits(
        self, examples: Sequence[E], features: Sequence[Feature], decoded: Sequence[Any]
    ) -> tuple[Array, NDArray[np.int64]]:
        """The logits of all that is scored, (scored, labels), and the index of each right label, (scored,)."""

    @abstractmethod
    def answers(self, examples: Sequence[E], predictions: Sequence[P]) -> tuple[Array, NDArray[np.bool_]]:
        """The probability of each answer that `records` gives, and whether it is right."""

    @abstractmethod
    def withhold(self, predictions: Sequence[P], least: float) -> tuple[list[P], int]:
        """The predictions without the answers below a probability, and how many these were."""


def require_probabilities(task: Settings) -> None:
    """Raises UserError for a task whose answers have no probability."""
    if not isinstance(task, ProbabilitySettings):
        raise UserError(f"--min-confidence: the answers of {task.type} have no probability: leave it out")


def withheld(task: Task[Any, Any], predictions: Sequence[Any], least: float | None) -> tuple[Sequence[Any], int]:
    """The predictions without the answers below a probability, if one is given, and how many these were."""
    if least is None or not isinstance(task, ProbabilityTask):
        return predictions, 0
    return task.withhold(predictions, least)


def softmax(logits: ArrayLike, temperature: float) -> Array:
    """Probabilities along the last axis, in fp64."""
    powers = np.asarray(logits, np.float64) / temperature
    powers = np.exp(powers - powers.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def with_opposite(logits: ArrayLike) -> Array:
    """The logit of a label as those of its absence and of its presence: (...) → (..., 2)."""
    present = np.asarray(logits, np.float64)
    return np.stack([np.zeros_like(present), present], -1)


def fit_temperature(logits: ArrayLike, true: ArrayLike) -> float:
    """The temperature with the least negative log-likelihood of the labels `true`, (rows,), for (rows, labels).

    One more example, which has each label to the same part, keeps it away from 0 where all predictions are right; it
    is that smoothing of Platt (1999), without which a small validation set would make the model certain of everything.
    The likelihood is convex in the inverse of the temperature, so its slope has at most one root. 1 where logits do not
    differ, or there are none.
    """
    from scipy.optimize import brentq

    every = -(-np.size(true) // MOST_ROWS) or 1
    rows, labels = np.asarray(logits)[::every].astype(np.float64), np.asarray(true)[::every]
    if not np.ptp(rows, -1).any():
        return 1.0
    own = np.take_along_axis(rows, labels[:, None], -1).mean()
    target = own + (rows.mean() - own) / (len(rows) + 1)

    def slope(logarithm: float) -> float:
        return float((softmax(rows, np.exp(logarithm)) * rows).sum(-1).mean() - target)

    lowest, highest = np.log(COLDEST), np.log(HOTTEST)
    if slope(lowest) <= 0:
        return COLDEST
    return float(np.exp(brentq(slope, lowest, highest, xtol=1e-7))) if slope(highest) < 0 else HOTTEST
