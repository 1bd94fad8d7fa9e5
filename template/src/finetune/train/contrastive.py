"""Gradient caching (Gao et al. 2021): a loss that compares all examples of a step, however the step is cut.

A first pass without gradients gives the vectors of all rows of the step, from which the loss is computed with its
gradient in respect of each vector. The second pass, the one of the training loop, sends this gradient on into the
model. So the step is that of one large batch, however it is cut; it costs one more forward pass.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.random import fork_rng

from ..model.forward import forward
from .build import Setup

LossFunction = Callable[[Tensor, Tensor], Tensor]
"""From logits and labels of a micro-batch to the sum of its losses."""


def with_loss_functions(
    setup: Setup, micro_batches: Sequence[tuple[Any, bool]]
) -> list[tuple[Any, bool, LossFunction]]:
    """Each micro-batch of this rank with a loss function: that of the task, or one with the cached gradient.

    The value of the latter is the sum of the losses of its rows, of all that the step compares them with.
    """
    task, world = setup.task, setup.world
    if not task.settings.compares_examples or (len(micro_batches) == 1 and world.size == 1):
        return [(micro_batch, counts, task.loss) for micro_batch, counts in micro_batches]
    vectors, labels = zip(*_first_pass(setup, micro_batches), strict=True)
    own = torch.cat(vectors).requires_grad_()
    parts = world.gather((own.detach().cpu(), torch.cat(labels).cpu()))
    of_all = torch.cat([own if rank == world.rank else found.to(own) for rank, (found, _) in enumerate(parts)])
    losses = task.row_losses(of_all, torch.cat([found for _, found in parts]).to(own.device))
    [gradient] = torch.autograd.grad(losses.sum(), own)
    start, sizes = sum(len(found) for found, _ in parts[: world.rank]), [len(one) for one in vectors]
    values = losses.detach()[start : start + len(own)]
    of_batches = zip(micro_batches, gradient.split(sizes), values.split(sizes), strict=True)
    return [
        (micro_batch, counts, partial(_with_gradient, found if counts else 0.0, value.sum()))
        for (micro_batch, counts), found, value in of_batches
    ]


def _first_pass(setup: Setup, micro_batches: Sequence[tuple[Any, bool]]) -> Iterator[tuple[Tensor, Tensor]]:
    """Vectors and labels of each micro-batch, none where it does not count.

    The second pass draws the same random numbers (dropout).
    """
    device = setup.model.device
    replayed = fork_rng([]) if device.type == "cpu" else fork_rng([device], device_type=device.type)
    with replayed, torch.no_grad():
        for (part, chosen), counts in micro_batches:
            batch = setup.batching.make_batch(part, chosen).to(device)
            vectors = forward(setup.model, setup.task, batch, setup.precision)
            rows = len(vectors) * counts
            yield vectors[:rows], batch.labels[:rows]


def _with_gradient(gradient: Tensor | float, value: Tensor, vectors: Tensor, labels: Tensor) -> Tensor:
    """`value`, with this gradient in respect of `vectors`."""
    product = (vectors * gradient).sum()
    return product + (value - product).detach()
