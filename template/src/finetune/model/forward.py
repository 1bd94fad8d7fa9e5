"""The one place that calls a model."""

from typing import Any

import torch
from torch import Tensor

from ..data.batching import Batch
from ..tasks.base import Task
from .device import Precision, autocast

CPU_TOKENS = 1024
"""Tokens of a forward pass for each thread of a CPU: with more, intermediate results no longer fit its caches."""


def forward(model: Any, task: Task[Any, Any], batch: Batch, precision: Precision) -> Tensor:
    """The logits of a batch that lies on the model's device; where examples have several windows, their mean."""
    with autocast(precision, model.device):
        logits: Tensor = model(**task.model_inputs(model, batch.inputs, batch.labels)).logits
    return task.example_logits(logits, batch.labels)


def pass_tokens(budget: int, device: torch.device) -> int:
    """Padded tokens of a forward pass on a device: the budget, and no more than a CPU is fast with."""
    return min(budget, CPU_TOKENS * torch.get_num_threads()) if device.type == "cpu" else budget
