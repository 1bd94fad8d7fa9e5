"""Change the output layer of a head, its last linear layer: more labels, other labels, another scale."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError
from .layers import in_modules, unwrap_model

WRAPPED = (".original_module", ".modules_to_save.default")
"""peft's names for the original head and its trainable copy."""


def resize_head(model: Any, head: Iterable[str], before: dict[str, Any], after: dict[str, Any]) -> None:
    """Extend the head from the labels of the model options `before` to those of `after`, which follow the old ones.

    New rows are initialized as in a new model. Raises UserError if the head does not end in a linear layer.
    """
    old, new = before.get("num_labels", 0), after.get("num_labels", 0)  # 0: the task has no head of its own
    if old == new:
        return
    _, layers = output_layer(model, head)
    if {layer.out_features for layer in layers} != {old}:
        raise UserError(
            f"continue_from: the data have {new} labels, the run had {old}, and the head of a "
            f"{model.config.model_type} model cannot be extended: train a new run on all data"
        )
    for layer in layers:
        added = _new_rows(model, layer, new - old)
        bias = None if layer.bias is None else torch.cat([layer.bias.detach(), layer.bias.new_zeros(new - old)])
        _set_rows(layer, torch.cat([layer.weight.detach(), added]), bias)
    set_labels(model, after)


def output_layer(model: Any, head: Iterable[str]) -> tuple[str, list[nn.Linear]]:
    """The name and the last linear layer of the head; the original and the trained copy if peft has wrapped it.

    No layer where the head has none, as in Perceiver.
    """
    layers: dict[str, list[nn.Linear]] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and in_modules(f"{name}.weight", head):
            for part in WRAPPED:
                name = name.replace(part, "")
            layers.setdefault(name, []).append(module)
    return [*layers.items()][-1] if layers else ("", [])


def take_rows(layer: nn.Linear, rows: Sequence[int]) -> None:
    """Let the layer have these of its outputs, in this order."""
    chosen = torch.tensor(rows)
    _set_rows(layer, layer.weight.detach()[chosen], None if layer.bias is None else layer.bias.detach()[chosen])


def renew(model: Any, layer: nn.Linear) -> None:
    """Initialize the layer as in a new model."""
    bias = None if layer.bias is None else torch.zeros_like(layer.bias)
    _set_rows(layer, _new_rows(model, layer, layer.out_features), bias)


def set_labels(model: Any, options: dict[str, Any]) -> None:
    """Let the model's config have the labels of a task's model options."""
    unwrap_model(model).num_labels = options["num_labels"]
    unwrap_model(model).config.update({name: options[name] for name in ("id2label", "label2id")})


def scaled(layer: dict[str, Tensor], factor: float, shift: float) -> dict[str, Tensor]:
    """`weight` and `bias` of a linear layer whose outputs are `factor` times those of `layer`, plus `shift`."""
    shifts = {"weight": 0.0, "bias": shift}
    # In fp64, so that it is rounded once; on the CPU, because Apple GPUs have no fp64.
    return {name: (tensor.cpu().double() * factor + shifts[name]).to(tensor) for name, tensor in layer.items()}


def _new_rows(model: Any, layer: nn.Linear, number: int) -> Tensor:
    deviation = getattr(model.config, "initializer_range", 0.02)
    return torch.randn(number, layer.in_features, dtype=layer.weight.dtype) * deviation


def _set_rows(layer: nn.Linear, weight: Tensor, bias: Tensor | None) -> None:
    layer.weight = nn.Parameter(weight, layer.weight.requires_grad)
    if bias is not None:
        layer.bias = nn.Parameter(bias, layer.bias.requires_grad)
    layer.out_features = len(weight)
