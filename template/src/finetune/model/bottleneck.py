"""Bottleneck adapters (Houlsby et al. 2019): small trainable networks inside frozen layers."""

from typing import Any

from torch import Tensor, nn

from .layers import ATTENTION_OUTPUT, MLP_OUTPUT, find_linear_layers, linear_shape, require_layers


class Bottleneck(nn.Module):
    """Computes `x + up(gelu(down(x)))`. It starts as the identity, because `up` is initialized with zeros."""

    def __init__(self, size: int, width: int, dropout: float) -> None:
        super().__init__()
        self.down = nn.Linear(size, width)
        self.activation = nn.GELU()
        self.dropout = nn.Dropout(dropout)
        self.up = nn.Linear(width, size)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """`x`: (..., size); the result has the same shape."""
        narrow = self.dropout(self.activation(self.down(x)))
        widened: Tensor = self.up(narrow)
        return x + widened


def insert_adapters(model: Any, width: int, dropout: float) -> None:
    """Insert an adapter after attention and after the MLP in every layer, before the residual connection.

    The layer norms are trainable too, as in the paper; the other weights of the layers stay frozen. `width` is the
    adapter's inner size. Raises UserError for an unsupported architecture.
    """
    for layer in require_layers(model, "adapter").values():
        for module in layer.modules():
            if type(module).__name__.endswith("Norm"):
                module.requires_grad_(True)
    for names in (ATTENTION_OUTPUT, MLP_OUTPUT):
        for linear in find_linear_layers(model, names, "adapter").values():
            # A child of the linear layer before it, so that the names of the model's weights stay as they are.
            linear.adapter = Bottleneck(linear_shape(linear)[1], width, dropout).to(linear.weight.device)
            linear.register_forward_hook(_adapt)


def _adapt(linear: Any, _: Any, output: Tensor) -> Tensor:
    return linear.adapter(output)  # type: ignore[no-any-return]
