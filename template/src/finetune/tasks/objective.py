"""Training objective: how a task computes its loss."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data.features import IGNORE, Feature


def at_least_fp32(logits: Tensor) -> Tensor:
    """Half precision is too coarse for a loss or a probability; fp64 stays fp64."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


class Objective(ABC):
    """Labels and logits → loss. A task writes at least `batch_labels` and `loss`.

    A loss is a sum over the scored labels: the training loop divides it once by their number in the whole step, so
    that gradient accumulation and data parallelism do not change the result.
    """

    @property
    def group_by_example(self) -> bool:
        """Whether the loss needs all features of an example in the same micro-batch."""
        return False

    @property
    def scores_tokens(self) -> bool:
        """Whether `loss` and `decode` also take the `TokenScores` of what is `scored`, in place of logits."""
        return False

    def row_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(rows,): where examples are compared, the loss of each row among all rows of a step; its sum is `loss`."""
        raise NotImplementedError

    def split_losses(self, features: Sequence[Feature], decoded: Sequence[Any]) -> Tensor:
        """(features,): where examples are compared, the loss of each feature of a split among all of them."""
        raise NotImplementedError

    label_smoothing: float = 0.0
    """Label smoothing of the loss that is computed of `TokenScores`."""

    def scored(self, values: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """For `scores_tokens`: what predicts a scored token (of logits or hidden states), and these tokens' labels."""
        raise NotImplementedError

    def loss_of_tokens(self, labels: Tensor) -> Callable[[Tensor], Tensor] | None:
        """For `scores_tokens`: the loss (a scalar) of the cross-entropies of the scored tokens; None for their sum."""
        return None

    @abstractmethod
    def batch_labels(self, features: Sequence[Feature], length: int) -> Tensor:
        """The labels of a batch whose rows are padded to `length` tokens: (rows,) or (rows, ...)."""

    def standardization(self) -> tuple[float, float] | None:
        """Mean and standard deviation of the labels, where the model predicts standardized ones."""
        return None

    def model_inputs(self, model: Any, inputs: dict[str, Tensor], labels: Tensor) -> dict[str, Any]:
        """The arguments of the model's forward pass."""
        return inputs

    def logits(self, output: Any, inputs: dict[str, Tensor]) -> Tensor:
        """What the model's output for a batch says: (rows, ...)."""
        logits: Tensor = output.logits
        return logits

    def example_logits(self, logits: Tensor, labels: Tensor) -> Tensor:
        """What loss and predictions are computed from: the logits of the rows, unless an example has several (windows).

        The result has as many rows.
        """
        return logits

    @abstractmethod
    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Sum of the losses of all scored labels (a scalar, fp32)."""

    worst_label_counts: ClassVar[bool] = False
    """Whether an example of several labels is as hard as the hardest of them (`unit_losses`), not as their mean."""

    def unit_losses(self, logits: Any, labels: Tensor, units: Sequence[Sequence[int]]) -> Tensor:
        """(units,): the loss of each of some rows of a batch, or groups of rows that `group_by_example` demands.

        It tells which examples are hard or mislabelled: class weights and focal loss do not count.
        """
        return torch.stack([self.loss(logits[rows], labels[rows]) for rows in map(list, units)])

    def distillation_loss(self, logits: Tensor, targets: Tensor, labels: Tensor, temperature: float) -> Tensor:
        """Knowledge distillation: sum of the cross-entropies with a teacher's logits, where a label is scored.

        The square of the temperature keeps the size of the gradient (Hinton et al. 2015).
        """
        scored = labels != IGNORE
        soft = (at_least_fp32(targets[scored]) / temperature).softmax(-1)
        return F.cross_entropy(at_least_fp32(logits[scored]) / temperature, soft, reduction="sum") * temperature**2
