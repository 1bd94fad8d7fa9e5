"""Parameter counts, and the memory of weights, gradients and optimizer states."""

from math import prod
from typing import Any

import torch


def parameter_counts(model: torch.nn.Module) -> tuple[int, int]:
    """Numbers of trainable and of all parameters; tied weights count once."""
    sizes = [(numel(parameter), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, trainable in sizes if trainable), sum(size for size, _ in sizes)


def memory(model: torch.nn.Module, optimizer: int) -> dict[str, int]:
    """Bytes of weights, gradients and optimizer state, which are given."""
    sizes = [(nbytes(parameter), parameter.requires_grad) for parameter in model.parameters()]
    trainable = sum(size for size, is_trainable in sizes if is_trainable)
    return {"weights": sum(size for size, _ in sizes), "gradients": trainable, "optimizer": optimizer}


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
