"""Measures of calibration and of selective prediction, from probabilities and whether the answers are right.

Expected calibration error and reliability diagram: Guo et al. (2017), with 15 bins of equal width; and with bins of
equal size (Nixon et al. 2019), because most probabilities lie in the last one of the others. Risk by coverage and the
area under it: Geifman et al. (2019).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..tasks.intervals import Array

Right = NDArray[np.bool_]
BINS = 15
DIGITS = 10_000
"""Thresholds have four digits, as they are shown: of answers that differ in the fifth, all are given or none."""
ALPHA = 0.05
"""How often the precision above a threshold may be less than it promises, by the bound of one threshold."""


@dataclass(frozen=True, slots=True)
class Bin:
    """The answers of a bin."""

    confidence: float
    """Their mean probability."""
    accuracy: float
    """The share of right ones."""
    count: int


@dataclass(frozen=True, slots=True)
class Threshold:
    """The least probability with which an answer is given, for a precision."""

    precision: float
    """The precision that is wanted."""
    confidence: float
    coverage: float
    """The share of the answers that are given."""
    found: float
    """The share of these that are right."""


def bins(confidence: Array, right: Right) -> list[Bin]:
    """The bins of equal width, (0, 1/15], (1/15, 2/15], ..., less the empty ones."""
    numbers = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    return [_bin(confidence[numbers == number], right[numbers == number]) for number in np.unique(numbers)]


def adaptive_bins(confidence: Array, right: Right) -> list[Bin]:
    """15 bins of equal size, as far as that goes, by ascending probability."""
    order = np.lexsort((right, confidence))  # where probabilities are equal, the order of the rows must not matter
    parts = np.array_split(order, BINS)
    return [_bin(confidence[part], right[part]) for part in parts if len(part)]


def _bin(confidence: Array, right: Right) -> Bin:
    return Bin(float(confidence.mean()), float(right.mean()), len(right))


def expected_calibration_error(found: list[Bin]) -> float:
    """The mean difference of probability and accuracy, weighted by the size of the bins."""
    gaps = sum(one.count * abs(one.confidence - one.accuracy) for one in found)
    return gaps / sum(one.count for one in found)


def brier_score(probabilities: Array, true: NDArray[np.int64]) -> float:
    """Mean squared error of the probabilities, (rows, labels), summed over the labels; of two labels, that of one."""
    squares = (probabilities - np.eye(probabilities.shape[1])[true]) ** 2
    return float(squares.sum(-1).mean() / (2 if probabilities.shape[1] == 2 else 1))


def negative_log_likelihood(logits: Array, true: NDArray[np.int64]) -> float:
    """Mean cross-entropy of the true labels, from logits, (rows, labels)."""
    from scipy.special import log_softmax

    return float(-np.take_along_axis(log_softmax(logits, -1), true[:, None], -1).mean())


def risk_by_coverage(confidence: Array, right: Right) -> tuple[Array, Array, Array]:
    """Each probability that occurs, from the highest on, with the coverage and the risk of a threshold there.

    Coverage is the share of the answers that are given, risk the share of wrong ones among these.
    """
    order = np.argsort(-confidence, kind="stable")
    last = np.flatnonzero(np.append(np.diff(confidence[order]) < 0, True))
    given = last + 1
    return confidence[order][last], given / len(order), 1 - np.cumsum(right[order])[last] / given


def area_under_risk(coverage: Array, risk: Array) -> float:
    """The mean risk over all coverages (AURC); for equal probabilities alone, the share of wrong answers."""
    return float(np.diff(coverage, prepend=0.0) @ risk)


def threshold_for(precision: float, confidence: Array, right: Right) -> Threshold | None:
    """The threshold with most answers whose precision has a lower bound of at least `precision`; None without any.

    The bound is that of Clopper and Pearson (1934), one-sided at 95 %: a few right answers in a row do not suffice, for
    95 % it takes 59 of them. It is that of one threshold, while the best of many is taken on these very answers.
    """
    from scipy.special import bdtrc

    least, coverage, risk = risk_by_coverage(np.floor(confidence * DIGITS) / DIGITS, right)
    given = np.rint(coverage * len(right)).astype(int)
    hits = np.rint((1 - risk) * given).astype(int)
    # P(at least so many right ones), if the precision were the wanted one.
    holds = np.flatnonzero((hits > 0) & (bdtrc(hits - 1, given, precision) <= ALPHA))
    if not len(holds):
        return None
    best = holds[-1]
    return Threshold(precision, float(least[best]), float(coverage[best]), float(1 - risk[best]))
