"""Parameter counts, and the memory of weights, gradients and optimizer states."""

from collections import Counter
from math import prod
from typing import Any

import torch

from .device import DTYPES

FORMATS = {dtype: name for name, dtype in DTYPES.items()}


def parameter_counts(model: torch.nn.Module) -> tuple[int, int]:
    """Numbers of trainable and of all parameters; tied weights count once."""
    sizes = [(numel(parameter), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, trainable in sizes if trainable), sum(size for size, _ in sizes)


def memory(model: torch.nn.Module, optimizer: int) -> dict[str, int]:
    """Bytes of weights, gradients and optimizer state, which are given."""
    sizes = [(nbytes(parameter), parameter.requires_grad) for parameter in model.parameters()]
    trainable = sum(size for size, is_trainable in sizes if is_trainable)
    return {"weights": sum(size for size, _ in sizes), "gradients": trainable, "optimizer": optimizer}


def weight_formats(model: torch.nn.Module) -> dict[tuple[str, str], int]:
    """Bytes of the weights by what happens to them ("frozen", "trained") and by number format, the largest first."""
    sizes: Counter[tuple[str, str]] = Counter()
    for parameter in model.parameters():
        name = "4 bits" if quantization_state(parameter) else FORMATS.get(parameter.dtype, str(parameter.dtype))
        sizes["trained" if parameter.requires_grad else "frozen", name] += nbytes(parameter)
    return dict(sizes.most_common())


def numel(parameter: torch.nn.Parameter) -> int:
    """Number of elements, also of a quantized parameter, which packs several into a byte."""
    state = quantization_state(parameter)
    return prod(state.shape if state else parameter.shape)


def nbytes(parameter: torch.nn.Parameter) -> int:
    """Size in bytes, including the scales of a quantized parameter."""
    state = quantization_state(parameter)
    scales = state.as_dict(packed=True).values() if state else ()
    return int(parameter.nbytes + sum(tensor.nbytes for tensor in scales))


def quantization_state(parameter: Any) -> Any:
    """The shape and scales that bitsandbytes stores with a 4-bit weight; None for other weights."""
    return getattr(parameter, "quant_state", None)
