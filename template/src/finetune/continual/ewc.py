"""Elastic weight consolidation (Kirkpatrick et al. 2017): a penalty on changing weights that matter for earlier data.

The importance of a weight is the diagonal of the Fisher information, here of the training labels: the mean square of
the gradient of one example. Over several trainings the diagonals are summed, around the weights of the last one
(Huszár 2018), so that storage does not grow with their number.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..data.batching import Padding
from ..dataset import Split
from ..errors import UserError
from ..files import publish
from ..model.forward import forward
from ..model.tensor_checks import require_like, require_names
from ..tasks.base import Task

FISHER = "fisher.safetensors"


class EwcPenalty:
    """Quadratic penalty on the distance from the weights that a training starts from."""

    def __init__(self, model: torch.nn.Module, fisher: dict[str, Tensor], strength: float) -> None:
        """`model` has the weights of the earlier training, and perhaps new rows at the end of its head."""
        self._strength = strength
        self._terms = [
            (parameter, fisher[name].to(parameter.device), parameter.detach()[: len(fisher[name])].clone())
            for name, parameter in trainable_parameters(model)
        ]

    def penalty(self) -> Tensor:
        """Added to the loss of a step once: strength / 2 times the Fisher-weighted squared distance (a scalar)."""
        distances = [
            (fisher * (parameter[: len(anchor)] - anchor).square()).sum() for parameter, fisher, anchor in self._terms
        ]
        return self._strength / 2 * torch.stack(distances).sum()


def estimate_fisher(
    model: Any, task: Task[Any, Any], tokenizer: Any, split: Split, chosen: Iterable[int], budget: int
) -> dict[str, Tensor]:
    """Diagonal of the Fisher information per scored label, from the examples `chosen`; without dropout."""
    model.eval()
    padding = Padding(tokenizer, task.batch_labels, task.group_by_example)
    squares = {name: torch.zeros_like(parameter) for name, parameter in trainable_parameters(model)}
    count = 0
    for example in chosen:
        features = split.features_of(example)
        for rows in padding.make_micro_batches(split.features, features, budget):
            batch = padding.make_batch(split.features, rows).to(model.device)
            task.loss(forward(model, task, batch, precision="fp32"), batch.labels).backward()
        for name, parameter in trainable_parameters(model):
            if parameter.grad is not None:
                squares[name] += parameter.grad.square()
        model.zero_grad()
        count += sum(split.features[feature].scored_labels for feature in features)
    return {name: square / max(1, count) for name, square in squares.items()}


def sum_fisher(fisher: dict[str, Tensor], earlier: dict[str, Tensor]) -> dict[str, Tensor]:
    """The sum of two diagonals; the earlier one may lack the last rows of a head that was resized."""
    for name, tensor in earlier.items():
        fisher[name][: len(tensor)] += tensor.to(fisher[name].device)
    return fisher


def trainable_parameters(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """Trainable parameters, by name."""
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


def write_fisher(folder: Path, fisher: dict[str, Tensor]) -> None:
    """Write it atomically."""
    publish(folder, lambda target: save_file(fisher, target / FISHER))


def read_fisher(folder: Path, model: torch.nn.Module) -> dict[str, Tensor]:
    """The inverse of `write_fisher`. Raises UserError for another tensor than those of the model's trainable weights.

    Of a head that was resized since, it may lack the last rows.
    """
    path, parameters = folder / FISHER, dict(trainable_parameters(model))
    fisher, remedy = load_file(path), f"remove {folder}, so that it is computed anew"
    require_names(path, fisher, parameters, remedy)
    for name, tensor in fisher.items():
        rows = len(tensor) if tensor.ndim and parameters[name].ndim else 0
        like = parameters[name][:rows] if rows else parameters[name]
        require_like(path, name, tensor, like, remedy)
        if tensor.numel() and tensor.min() < 0:
            raise UserError(f"{path}: '{name}' has values below 0, which no mean of squares has: {remedy}")
    return fisher
