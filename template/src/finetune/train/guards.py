"""Guards of a training: a number that is not finite stops it, a spike of the loss or the gradient is reported."""

import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from ..data.features import Feature
from ..dataset import Split
from ..inference import Inference
from .throughput import StepStats

REMEDY = "lower optim.lr or set train.precision to fp32"
RECENT, LEAST, FAR = 100, 20, 10
"""A step is compared with so many before it, with none before there are the least, by so many deviations."""


class NotFiniteError(Exception):
    """A loss or the gradient norm is not finite; the weights are still those of the step before."""


def not_finite(loss: float, norm: float, where: str) -> NotFiniteError:
    """The error of a step, before its weights are changed."""
    return NotFiniteError(f"the loss is {loss} and the gradient norm {norm} in a step over {where}: {REMEDY}")


def find_spike(recent: list[list[float]], step: StepStats) -> dict[str, float]:
    """What is far above the steps before, with their medians: the loss, the gradient norm, or nothing.

    Far is 10 median absolute deviations, at least 1 % each, above the median: that rule for outliers is not moved by
    them (F. R. Hampel, The Influence Curve and its Role in Robust Estimation, 1974). `recent` is updated.
    """
    values = {"loss": step.loss / max(1, step.count), "grad_norm": step.grad_norm}
    found: dict[str, float] = {}
    if len(recent) >= LEAST:
        for (name, value), before in zip(values.items(), zip(*recent, strict=True), strict=True):
            usual = median(before)
            deviation = median(abs(one - usual) for one in before)
            if value > usual + FAR * max(deviation, usual / 100):
                found |= {name: value, f"median_{name}": usual}
    recent.append(list(values.values()))
    del recent[:-RECENT]
    return found


def require_finite(result: Inference, split: Split, infer: Callable[[Sequence[Feature]], Inference]) -> None:
    """Raise NotFiniteError if the validation loss is not finite, and name an example; `infer` computes that of some.

    The example is found by bisection, on all ranks.
    """
    if math.isfinite(result.loss):
        return
    first, end = 0, len(split.features)
    while end - first > 1:
        middle = (first + end) // 2
        part: Any = [split.features[row] for row in range(first, middle)]
        first, end = (middle, end) if math.isfinite(infer(part).loss) else (first, middle)
    number = split.features[first].example + 1
    raise NotFiniteError(f"the loss of example {number} of the validation data is not finite: {REMEDY}")
