"""The one place that calls a model."""

from functools import partial
from typing import Any

import torch

from ..data.batching import Batch
from ..tasks.base import Task
from .device import Precision, autocast
from .output_layer import in_chunks, token_scores

CPU_TOKENS = 1024
"""Tokens of a forward pass for each thread of a CPU: with more, intermediate results no longer fit its caches."""


def forward(model: Any, task: Task[Any, Any], batch: Batch, precision: Precision, *, whole_logits: bool = False) -> Any:
    """The logits of a batch that lies on the model's device; where examples have several windows, their mean.

    `TokenScores` instead, where these suffice for the task, the logits would be large, and the caller can do without.
    """
    inputs = task.model_inputs(model, batch.inputs, batch.labels)
    with autocast(precision, model.device):
        if not whole_logits and in_chunks(model, task, batch.labels):
            scored = partial(task.scored, labels=batch.labels)
            loss_of = task.loss_of_tokens(batch.labels)
            return token_scores(model, inputs, batch.labels, scored, task.label_smoothing, loss_of)
        logits = task.logits(model(**inputs), inputs)
    return task.example_logits(logits, batch.labels)


def pass_tokens(budget: int, device: torch.device) -> int:
    """Padded tokens of a forward pass on a device: the budget, and no more than a CPU is fast with."""
    return min(budget, CPU_TOKENS * torch.get_num_threads()) if device.type == "cpu" else budget
