"""The forward pass without gradients, shared by validation, evaluation and prediction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .batching import collate, micro_batches
from .model import autocast
from .tasks.base import Feature, Task


@dataclass(slots=True)
class Inference:
    """What the model says of every feature, in their order, and its mean loss over all scored labels."""

    decoded: list[Any]
    loss: float


@torch.inference_mode()
def infer(
    model: Any, task: Task[Any, Any], tokenizer: Any, features: Sequence[Feature], *, budget: int, bf16: bool
) -> Inference:
    """Run all features through the model, similar lengths together; the order of the batches changes no figure."""
    training = model.training
    model.eval()
    device = model.device
    decoded: list[Any] = [None] * len(features)
    total = torch.zeros((), dtype=torch.float64, device=device if device.type != "mps" else "cpu")
    for rows in micro_batches(features, range(len(features)), budget, task.keeps_together):
        batch = collate(features, rows, task, tokenizer).to(device)
        with autocast(bf16, device):
            logits = model(**batch.inputs).logits
        total += task.loss(logits, batch.labels).to(total.device)
        for row, value in zip(rows, task.decode(logits, batch.labels), strict=True):
            decoded[row] = value
    model.train(training)
    return Inference(decoded, float(total) / max(1, sum(feature.count for feature in features)))
