"""The loss of classifiers: cross-entropy, with class weights and label smoothing or as focal loss.

Label smoothing acts in training only, so that validation losses compare with those of a run without it.
"""

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data.features import IGNORE
from ..data.label_values import label_name
from .labels import require_known
from .objective import at_least_fp32
from .settings import ClassLossSettings

Weights = Sequence[float] | None
"""One for each class; None if all are 1."""


def cross_entropy(logits: Tensor, labels: Tensor, weights: Weights, settings: ClassLossSettings) -> Tensor:
    """Sum over the labels that are not IGNORE; (n, classes) and (n,)."""
    logits = at_least_fp32(logits)
    by_class = None if weights is None else torch.tensor(weights).to(logits)
    smoothing = smoothing_in_training(settings.label_smoothing)
    if not settings.focal_gamma:
        return F.cross_entropy(
            logits, labels, by_class, ignore_index=IGNORE, reduction="sum", label_smoothing=smoothing
        )
    losses = F.cross_entropy(logits, labels, by_class, ignore_index=IGNORE, reduction="none")
    right = logits.softmax(-1).gather(-1, labels.clamp(min=0)[:, None])[:, 0]
    return (losses * _focus(right, settings)).sum()


def binary_cross_entropy(logits: Tensor, targets: Tensor, weights: Weights, settings: ClassLossSettings) -> Tensor:
    """Of each label, (n, labels), with targets of 0 and 1; a weight counts where an example has the label."""
    by_label = None if weights is None else torch.tensor(weights).to(logits)
    smoothing = smoothing_in_training(settings.label_smoothing)
    smoothed = targets * (1 - smoothing) + smoothing / 2
    losses = F.binary_cross_entropy_with_logits(logits, smoothed, reduction="none", pos_weight=by_label)
    if not settings.focal_gamma:
        return losses
    probability = logits.sigmoid()
    return losses * _focus(torch.where(targets > 0, probability, 1 - probability), settings)


def smoothing_in_training(smoothing: float) -> float:
    """0 outside of training."""
    return smoothing if torch.is_grad_enabled() else 0.0


def class_weights(
    settings: ClassLossSettings, names: Sequence[str], balanced: dict[str, float], earlier: dict[str, float]
) -> list[float] | None:
    """The weights of the classes, whose `names` may repeat, as those of B- and I- of a tag do; None if all are 1.

    `balanced` has those of `class_weights: balanced`; a class that does not occur this time keeps its `earlier` one.
    Raises UserError for a name that is no class.
    """
    chosen = settings.class_weights
    if chosen == "none":
        return None
    if chosen == "balanced":
        by_name = {**dict.fromkeys(names, 1.0), **earlier, **balanced}
        return [by_name[name] for name in names]
    by_name = {str(label_name(label)): weight for label, weight in chosen.items()}
    for name in by_name:
        require_known("label", name, [*dict.fromkeys(names)], "task.class_weights")
    return [by_name.get(name, 1.0) for name in names]


def inverse_frequencies(counts: Counter[str]) -> dict[str, float]:
    """The weights with which all classes have the same total, and whose mean over the examples is 1."""
    return {name: counts.total() / (len(counts) * count) for name, count in counts.items()}


def _focus(right: Tensor, settings: ClassLossSettings) -> Tensor:
    """The factor of focal loss (Lin et al. 2017), of the probability of what is right."""
    rest = (1 - right).clamp(min=torch.finfo(right.dtype).tiny)  # a power below 1 has no finite gradient at 0
    return rest**settings.focal_gamma
