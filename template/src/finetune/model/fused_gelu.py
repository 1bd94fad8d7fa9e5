"""GELU in its tanh approximation as one operation, where transformers computes it in eight and keeps each result.

GPT-2, ALBERT, mT5, Phi and others name it `gelu_new`. The function is the same; results differ by rounding only.
"""

from typing import Any

from torch import nn
from transformers.activations import NewGELUActivation


def fuse_gelu(model: Any) -> Any:
    """Replace the activation in place; the config keeps its name. Returns the model."""
    for module in [*model.modules()]:
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, nn.GELU("tanh"))
    return model
