"""Guards of a training: a number that is not finite stops it, a spike of the loss is reported."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..data.features import Feature
from ..dataset import Split
from ..inference import Inference
from .throughput import StepStats

REMEDY = "lower optim.lr or set train.precision to fp32"
RECENT, LEAST, FAR = 100, 20, 2
"""A loss is compared with so many before it, once there are the least; a spike is so many times as large."""


class NotFiniteError(Exception):
    """A loss or the gradient norm is not finite; the weights are still those of the step before."""


def not_finite(loss: float, norm: float, where: str) -> NotFiniteError:
    """The error of a step, before its weights are changed."""
    return NotFiniteError(f"the loss is {loss} and the gradient norm {norm} in a step over {where}: {REMEDY}")


def find_spike(recent: list[float], step: StepStats) -> dict[str, float]:
    """The loss of a step, and the largest one of the steps before, where it is more than twice that; else nothing.

    The largest one, not the mean: batches of fine-tuning are small, and the losses of a trained model differ tenfold.
    `recent` is updated.
    """
    loss, largest = step.loss / max(1, step.count), max(recent, default=0.0)
    is_spike = len(recent) >= LEAST and loss > FAR * largest
    recent.append(loss)
    del recent[:-RECENT]
    return {"loss": loss, "largest_before": largest} if is_spike else {}


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
