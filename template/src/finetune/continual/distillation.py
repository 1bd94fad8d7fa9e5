"""Learning without forgetting (Li and Hoiem 2016): knowledge distillation from the previous model on the new data."""

from typing import Any

import torch
from torch import Tensor

from ..data.batching import Batch
from ..model.device import Precision
from ..model.forward import forward
from ..tasks.base import Task


class Teacher:
    """The model that a training starts from, frozen."""

    def __init__(self, model: Any, weight: float, temperature: float) -> None:
        self._model = model.eval().requires_grad_(False)
        self._weight = weight
        self._temperature = temperature

    def loss(self, task: Task[Any, Any], batch: Batch, logits: Tensor, precision: Precision) -> Tensor:
        """Distillation term for the summed loss of a batch (a scalar); `logits` are those of the trained model.

        Labels that are new to the teacher come last and are left out.
        """
        with torch.no_grad():
            targets = forward(self._model, task, batch, precision, whole_logits=True)
        known = logits[..., : targets.shape[-1]]
        return self._weight * task.distillation_loss(known, targets, batch.labels, self._temperature)
