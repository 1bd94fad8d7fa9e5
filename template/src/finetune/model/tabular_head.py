"""Join tabular features to the vector of a text, before the output layer of the head."""

from collections.abc import Mapping, Sequence
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from .head import output_layer
from .layers import head_modules, unwrap_model

NAME = "tabular_head"
"""The module's name in the model, and so the beginning of its weights' names."""
HIDDEN = 64


class TabularHead(nn.Module):
    """A residual layer on the vector of a text and its features: `x + out(gelu(text(x) + features))`.

    The hidden layer sees both, so that a number can mean something else for another text. Its output starts at zero:
    a pretrained head starts as it is.
    """

    def __init__(self, width: int, columns: Sequence[Mapping[str, Any]]) -> None:
        """`width`: of the vector of a text; `columns`: their statistics, see `TabularFeatures`."""
        super().__init__()
        for number, column in enumerate(columns):
            shares = torch.tensor(column["shares"]) if "shares" in column else None
            self.register_buffer(f"shares_{number}", shares, persistent=False)
        self.text = nn.Parameter(torch.randn(HIDDEN, width) / width**0.5)
        self.bias = nn.Parameter(torch.zeros(HIDDEN))
        self.out = nn.Parameter(torch.zeros(width, HIDDEN))
        # A missing number is the mean, and has a vector of its own, which stays zero if the training data miss none.
        self.columns = nn.ParameterList(
            torch.stack([torch.randn(HIDDEN), torch.zeros(HIDDEN)])
            if column["type"] == "number"
            else torch.randn(len(column["values"]), HIDDEN)
            for column in columns
        )

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        """`x`: (rows, width) or (rows, tokens, width); `features`: (rows, columns). Returns the shape of `x`."""
        joined: Tensor = self.bias
        for number, (column, weights) in enumerate(zip(features.unbind(1), self.columns, strict=True)):
            shares = getattr(self, f"shares_{number}")
            joined = joined + (_number(column, weights) if shares is None else _category(column, weights, shares))
        if x.ndim == 3:
            joined = joined[:, None]
        return x + F.linear(F.gelu(F.linear(x, self.text) + joined), self.out)


def _number(column: Tensor, weights: Tensor) -> Tensor:
    """(rows, hidden): the standardized number times its vector; of a missing one its own vector."""
    missing = column.isnan()
    return torch.stack([column.nan_to_num(0.0), missing.to(column.dtype)], 1).to(weights.dtype) @ weights


def _category(column: Tensor, weights: Tensor, shares: Tensor) -> Tensor:
    """(rows, hidden): the vector of the value; of an unknown one, -1, the mean of all by their shares."""
    mean = shares.to(weights) @ weights
    return F.embedding(column.long() + 1, torch.cat([mean[None], weights]))


def join_features(model: Any, columns: Mapping[str, Mapping[str, Any]]) -> None:
    """Let the forward pass of the model take `features` (rows, columns), joined to what its output layer reads.

    The new module is one of the head, so every method trains and saves it. `columns` are the statistics of the task's
    `TabularFeatures`. Raises UserError if the head has no output layer.
    """
    head = head_modules(model)
    _, layers = output_layer(model, head)
    if not layers:
        raise UserError(
            f"data.features: the head of a {model.config.model_type} model has no output layer to join them to: "
            f"choose another model"
        )
    [layer] = layers
    setattr(model, NAME, TabularHead(layer.in_features, [*columns.values()]))
    given: list[Tensor] = []
    # A closure, which peft does not copy with the layer; the module by its name, because peft wraps it.
    layer.register_forward_pre_hook(lambda _, inputs: getattr(model, NAME)(*inputs, given.pop()))
    _accept_features(model, given)


def accept_features(model: Any) -> None:
    """Let the forward pass of a peft model take `features`, where it does not hand them on to the model inside."""
    _accept_features(model, unwrap_model(model).forward.given)


def _accept_features(model: Any, given: list[Tensor]) -> None:
    """Put them into `given` for the output layer. By the method and no hook, because peft calls it."""
    plain_forward = model.forward

    @wraps(plain_forward)
    def forward(*arguments: Any, features: Tensor | None = None, **options: Any) -> Any:
        if features is not None:  # else peft's model has taken them
            given[:] = [features]
        return plain_forward(*arguments, **options)

    forward.given = given  # type: ignore[attr-defined]
    model.forward = forward
