"""Elastic weight consolidation (Kirkpatrick et al. 2017): weights that the earlier data depend on are held in place.

How much they depend on a weight is the diagonal of the Fisher information, here of the training labels: the mean square
of the gradient of one example. Of several trainings the diagonals are added up and the anchor is where the last one
ended (Huszár 2018), so that what is stored does not grow with their number.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..data.batching import collate, micro_batches
from ..dataset import Split
from ..files import publish
from ..model.forward import forward
from ..tasks.base import Task

FISHER = "fisher.safetensors"


class EwcPenalty:
    """The penalty on leaving the weights that a training starts from."""

    def __init__(self, model: torch.nn.Module, fisher: dict[str, Tensor], strength: float) -> None:
        """`model` is as the earlier training left it, but for rows that were added behind those of its head."""
        self._strength = strength
        self._terms = [
            (parameter, fisher[name].to(parameter.device), parameter.detach()[: len(fisher[name])].clone())
            for name, parameter in trainable_parameters(model)
        ]

    def penalty(self) -> Tensor:
        """What to add to the loss of a step, once: half the strength times the weighted square of the distance."""
        distances = [
            (fisher * (parameter[: len(anchor)] - anchor).square()).sum() for parameter, fisher, anchor in self._terms
        ]
        return self._strength / 2 * torch.stack(distances).sum()


def estimate_fisher(
    model: Any, task: Task[Any, Any], tokenizer: Any, split: Split, chosen: Iterable[int], budget: int
) -> dict[str, Tensor]:
    """The diagonal, per scored label, from the examples `chosen`; without dropout."""
    model.eval()
    squares = {name: torch.zeros_like(parameter) for name, parameter in trainable_parameters(model)}
    count = 0
    for example in chosen:
        features = split.features_of[example]
        for group in micro_batches(split.features, features, budget, task.group_by_example):
            batch = collate(split.features, group, task.batch_labels, tokenizer).to(model.device)
            task.loss(forward(model, task, batch, bf16=False), batch.labels).backward()
        for name, parameter in trainable_parameters(model):
            if parameter.grad is not None:
                squares[name] += parameter.grad.square()
        model.zero_grad()
        count += sum(split.features[feature].scored_labels for feature in features)
    return {name: square / max(1, count) for name, square in squares.items()}


def sum_fisher(fisher: dict[str, Tensor], earlier: dict[str, Tensor]) -> dict[str, Tensor]:
    """The sum of two diagonals; the earlier one may lack the last rows of a head that has grown."""
    for name, tensor in earlier.items():
        fisher[name][: len(tensor)] += tensor.to(fisher[name].device)
    return fisher


def trainable_parameters(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """The parameters that training changes, by name."""
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


def write_fisher(folder: Path, fisher: dict[str, Tensor]) -> None:
    """Whole or not at all."""
    publish(folder, lambda target: save_file(fisher, target / FISHER))


def read_fisher(folder: Path) -> dict[str, Tensor]:
    """The inverse of `write_fisher`."""
    return load_file(folder / FISHER)
