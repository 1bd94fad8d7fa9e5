"""The one place that calls a model."""

from typing import Any

from torch import Tensor

from ..data.batching import Batch
from ..tasks.base import Task
from .device import Precision, autocast


def forward(model: Any, task: Task[Any, Any], batch: Batch, precision: Precision) -> Tensor:
    """The logits of a batch that lies on the model's device; where examples have several windows, their mean."""
    with autocast(precision, model.device):
        logits: Tensor = model(**task.model_inputs(model, batch.inputs, batch.labels)).logits
    return task.example_logits(logits, batch.labels)
