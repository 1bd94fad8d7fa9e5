"""Forward passes without gradients, shared by validation, evaluation and prediction."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch

from .data.batching import Padding
from .data.features import Feature
from .distributed.world import SINGLE_PROCESS, World
from .generate import generate
from .model.compile import uncompiled
from .model.device import Precision
from .model.forward import forward, pass_tokens
from .tasks.base import Task

Purpose = Literal["loss", "validation", "evaluation", "prediction"]


@dataclass(slots=True)
class Inference:
    """What the task decodes from the logits of each feature, in order, and the mean loss over all scored labels."""

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
    precision: Precision,
    world: World = SINGLE_PROCESS,
) -> Inference:
    """Run all features through the model, batched by length with at most `budget` padded tokens.

    The ranks of `world` share the batches and gather the results; every feature counts once. For generative tasks,
    `decoded` holds pairs of what the task decodes and the generated text, or None beyond `task.generation_limit`.
    """
    how: Any = {"budget": budget, "precision": precision, "world": world}
    with _evaluation_mode(model):
        result = Inference([None] * len(features), 0.0)
        if not task.generation or purpose != "prediction":
            result = _decode(model, task, tokenizer, features, **how)
        if not task.generation:
            return result
        chosen = [i for i, feature in enumerate(features) if feature.prompt][: task.generation_limit(purpose)]
        prompts = [features[i].prompt for i in chosen]
        texts = generate(model, tokenizer, prompts, task.generation, task.stop_tokens, **how)
        text_of = dict(zip(chosen, texts, strict=True))
        return Inference([(row, text_of.get(i)) for i, row in enumerate(result.decoded)], result.loss)


@contextmanager
def _evaluation_mode(model: Any) -> Iterator[None]:
    """Without dropout and without compiled code."""
    training = model.training
    if training:  # setting it takes as long as a forward pass of a small model
        model.eval()
    with uncompiled(model):
        yield
    if training:
        model.train()


def _decode(
    model: Any,
    task: Task[Any, Any],
    tokenizer: Any,
    features: Sequence[Feature],
    *,
    budget: int,
    precision: Precision,
    world: World,
) -> Inference:
    padding = Padding(tokenizer, task.batch_labels, task.group_by_example)
    decoded: dict[int, Any] = {}
    total = torch.zeros((), dtype=torch.float64, device=model.device if model.device.type != "mps" else "cpu")
    tokens = pass_tokens(budget, model.device)
    micro_batches = padding.make_micro_batches(features, range(len(features)), tokens)
    for rows, counts in world.shard(world.split(micro_batches)):
        batch = padding.make_batch(features, rows).to(model.device)
        logits = forward(model, task, batch, precision)
        if counts:
            total += task.loss(logits, batch.labels).to(total.device)
            decoded |= zip(rows, task.decode(logits, batch.labels), strict=True)
    for others in world.gather(decoded):
        decoded |= others
    values = [decoded[row] for row in range(len(features))]
    compares = task.settings.compares_examples  # then no batch by itself has the loss of its rows
    loss = float(task.split_losses(features, values).sum()) if compares else world.reduce(float(total))[0]
    return Inference(values, loss / max(1, sum(feature.scored_labels for feature in features)))
