"""The passes without gradients, shared by validation, evaluation and prediction."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch

from .data.batching import collate, micro_batches
from .data.features import Feature
from .distributed.world import SINGLE_PROCESS, World
from .generate import generate
from .model.compile import uncompiled
from .model.forward import forward
from .tasks.base import Task

Purpose = Literal["validation", "evaluation", "prediction"]


@dataclass(slots=True)
class Inference:
    """What the model says of every feature, in their order, and its mean loss over all scored labels."""

    decoded: list[Any]
    loss: float


@torch.inference_mode()
def infer(
    model: Any,
    task: Task[Any, Any],
    tokenizer: Any,
    features: Sequence[Feature],
    purpose: Purpose,
    *,
    budget: int,
    bf16: bool,
    world: World = SINGLE_PROCESS,
) -> Inference:
    """Run all features through the model, similar lengths together; the order of the batches changes no figure.

    The ranks of `world` share the batches, each of which is counted once, and all come to know the whole.

    Where a task's predictions are texts, `decoded` holds pairs of what the task decodes and the text: a prediction is
    only the text, and while a model is being chosen it writes no more than that takes.
    """
    with _evaluating(model):
        if not task.generation:
            return _scored(model, task, tokenizer, features, budget, bf16, world)
        found = Inference([None] * len(features), 0.0)
        if purpose != "prediction":
            found = _scored(model, task, tokenizer, features, budget, bf16, world)
        chosen = [i for i, feature in enumerate(features) if feature.prompt][: task.generation_limit(purpose)]
        prompts = [features[i].prompt for i in chosen]
        options: dict[str, Any] = {"budget": budget, "bf16": bf16, "world": world}
        written = generate(model, tokenizer, prompts, task.generation, task.stop_tokens, **options)
        texts = dict(zip(chosen, written, strict=True))
        return Inference([(row, texts.get(i)) for i, row in enumerate(found.decoded)], found.loss)


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Dropout off meanwhile, and no compiled code."""
    training = model.training
    model.eval()
    with uncompiled(model):
        yield
    model.train(training)


def _scored(
    model: Any, task: Task[Any, Any], tokenizer: Any, features: Sequence[Feature], budget: int, bf16: bool, world: World
) -> Inference:
    device = model.device
    decoded: dict[int, Any] = {}
    total = torch.zeros((), dtype=torch.float64, device=device if device.type != "mps" else "cpu")
    for rows, own in world.deal(micro_batches(features, range(len(features)), budget, task.group_by_example)):
        batch = collate(features, rows, task.batch_labels, tokenizer).to(device)
        logits = forward(model, task, batch, bf16)
        if own:
            total += task.loss(logits, batch.labels).to(total.device)
            decoded |= zip(rows, task.decode(logits, batch.labels), strict=True)
    for others in world.gather(decoded):
        decoded |= others
    loss = world.sum(float(total))[0] / max(1, sum(feature.scored_labels for feature in features))
    return Inference([decoded[row] for row in range(len(features))], loss)
