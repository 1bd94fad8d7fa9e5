"""Intervals: how far a metric may be off because the examples are a sample. Free of torch.

A metric is a function of sums over units (examples, queries, documents): `contributions`, of shape (units, k), is what
each unit adds to them, and `headline` turns sums of shape (..., k) into the metric, of shape (...).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Headline = Callable[[Array], Array]
"""From sums of shape (..., k) to a metric of shape (...)."""

RESAMPLES = 1000
QUANTILES = (0.025, 0.975)
"""Of a 95 % interval."""
MOST_DISTINCT = 10_000
"""Distinct contributions up to which resamples are drawn exactly; 0.5 seconds on a core."""
CHUNK = 2**22
"""Weights that are held at once."""


class Difference(NamedTuple):
    """Of a metric of `b` to that of `a` on the same units."""

    difference: float
    low: float
    high: float
    p: float
    """Two-sided: how probable so large a difference is if there is none."""


def ratio(numerator: Array, denominator: Array) -> Array:
    """Their quotient, elementwise; 0 where the denominator is."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)


def bootstrap(
    contributions: Array, headline: Headline, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """The 95 % interval of a metric by the percentile bootstrap over units (Efron and Tibshirani 1993, chapter 13)."""
    low, high = np.quantile(headline(_resampled(contributions, resamples, seed)), QUANTILES)
    return float(low), float(high)


def paired(a: Array, b: Array, headline: Headline, resamples: int = RESAMPLES, seed: int = 0) -> Difference:
    """How much higher the metric of `b` is, by the paired bootstrap: each resample has the same units of both."""
    k = a.shape[1]
    sums = _resampled(np.hstack([a, b]), resamples, seed)
    differences = headline(sums[:, k:]) - headline(sums[:, :k])
    low, high = np.quantile(differences, QUANTILES)
    rarer = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    p = min(1.0, 2 * (rarer + 1) / (resamples + 1))
    return Difference(float(headline(b.sum(0)) - headline(a.sum(0))), float(low), float(high), p)


def mcnemar(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """The p-value of McNemar's exact test that two classifiers are right equally often, from what each has right.

    Only the examples count that one of the two has right: under the hypothesis, each has half of them.
    """
    from scipy.stats import binomtest

    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values that are corrected for their number (Holm 1979): below 0.05 together, one is wrong at most so often."""
    order = np.argsort(p_values)
    factors = np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.maximum.accumulate(np.asarray(p_values, dtype=float)[order] * factors).clip(max=1)
    return [float(p) for p in corrected]


def _resampled(contributions: Array, resamples: int, seed: int) -> Array:
    """(resamples, k): the sums of as many units, drawn with replacement.

    Units with equal contributions are drawn as one group, by the multinomial distribution. Where there are too many
    groups for that, the sums are drawn from the normal distribution that they tend to (central limit theorem), with
    the same mean and covariance.
    """
    generator = np.random.default_rng(seed)
    distinct, counts = np.unique(contributions, axis=0, return_counts=True)
    units = len(contributions)
    if len(distinct) > MOST_DISTINCT:
        centred = contributions - contributions.mean(0)
        return generator.multivariate_normal(
            contributions.sum(0), centred.T @ centred, resamples, check_valid="ignore", method="eigh"
        )
    size = max(1, CHUNK // len(distinct))
    parts = (min(size, resamples - start) for start in range(0, resamples, size))
    return np.concatenate([generator.multinomial(units, counts / units, part) @ distinct for part in parts])
