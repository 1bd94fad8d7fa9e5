"""Extend a classification head by new labels; the weights of the old labels stay identical."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from ..errors import UserError
from .layers import in_modules, unwrap_model

WRAPPED = (".original_module", ".modules_to_save.default")
"""peft's names for the original head and its trainable copy."""


def resize_head(model: Any, head: Iterable[str], before: dict[str, Any], after: dict[str, Any]) -> None:
    """Extend the head from the labels of the model options `before` to those of `after`, which follow the old ones.

    New rows are initialized as in a new model. Raises UserError if the head does not end in a linear layer.
    """
    old, new = before.get("num_labels"), after.get("num_labels")
    if old == new:
        return
    for layer in _output_layers(model, head):
        if layer.out_features != old:
            raise UserError(
                f"continue_from: the data have {new} labels, the run had {old}, and the head of a "
                f"{model.config.model_type} model cannot be extended: train a new run on all data"
            )
        _add_rows(layer, new - old, model.config.initializer_range)
    unwrap_model(model).num_labels = new
    unwrap_model(model).config.update({name: after[name] for name in ("id2label", "label2id")})


def _output_layers(model: Any, head: Iterable[str]) -> list[nn.Linear]:
    """The last linear layer of the head; both copies of it if peft has wrapped the head."""
    layers: dict[str, list[nn.Linear]] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and in_modules(f"{name}.weight", head):
            for part in WRAPPED:
                name = name.replace(part, "")
            layers.setdefault(name, []).append(module)
    return [*layers.values()][-1]


def _add_rows(layer: nn.Linear, number: int, deviation: float) -> None:
    rows = torch.randn(number, layer.in_features, dtype=layer.weight.dtype) * deviation
    layer.weight = nn.Parameter(torch.cat([layer.weight.detach(), rows]), layer.weight.requires_grad)
    if layer.bias is not None:
        zeros = torch.zeros(number, dtype=layer.bias.dtype)
        layer.bias = nn.Parameter(torch.cat([layer.bias.detach(), zeros]), layer.bias.requires_grad)
    layer.out_features += number
