"""Bottleneck adapters (Houlsby et al. 2019): a narrow network in every layer is trained, the layer itself is not."""

from typing import Any

from torch import Tensor, nn

from .layers import ATTENTION_OUTPUT, MLP_OUTPUT, find_in_layers, layers_of, linear_shape


class Bottleneck(nn.Module):
    """Adds `up(gelu(down(x)))` to x. It starts as the identity: `up` is zero, and learns before `down` does."""

    def __init__(self, size: int, width: int, dropout: float) -> None:
        super().__init__()
        self.down = nn.Linear(size, width)
        self.activation = nn.GELU()
        self.dropout = nn.Dropout(dropout)
        self.up = nn.Linear(width, size)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """`x` has `size` features."""
        narrow = self.dropout(self.activation(self.down(x)))
        widened: Tensor = self.up(narrow)
        return x + widened


def insert_adapters(model: Any, width: int, dropout: float) -> None:
    """Put an adapter behind the output of attention and of MLP in every layer of the body, before the residual sum.

    The layer norms are trained with them, as in the paper; nothing else in the body is. Raises UserError for an
    architecture whose layers are not known.
    """
    for layer in layers_of(model, "adapter").values():
        for module in layer.modules():
            if type(module).__name__.endswith("Norm"):
                module.requires_grad_(True)
    for names in (ATTENTION_OUTPUT, MLP_OUTPUT):
        for linear in find_in_layers(model, names, "adapter").values():
            # As a child of the layer that it follows, so that no weight of the model changes its name.
            linear.adapter = Bottleneck(linear_shape(linear)[1], width, dropout).to(linear.weight)
            linear.register_forward_hook(_adapt)


def _adapt(linear: Any, _: Any, output: Tensor) -> Tensor:
    return linear.adapter(output)  # type: ignore[no-any-return]
