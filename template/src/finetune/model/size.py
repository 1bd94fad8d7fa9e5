"""Counts of parameters, and the memory that they, their gradients and the optimizer's state take."""

from math import prod
from typing import Any

import torch

MIB = 2**20


def parameter_counts(model: torch.nn.Module) -> tuple[int, int]:
    """Numbers of trained and of all parameters; one that two modules share counts once."""
    sizes = [(numbers_in(parameter), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)


def memory(model: torch.nn.Module, states: int) -> dict[str, float]:
    """MiB that weights, gradients and the optimizer's state take; it keeps `states` numbers for a trained weight."""
    sizes = [(bytes_of(parameter), parameter.requires_grad) for parameter in model.parameters()]
    trained = sum(size for size, is_trained in sizes if is_trained) / MIB
    return {
        "weights": sum(size for size, _ in sizes) / MIB,
        "gradients": trained,
        "the optimizer's state": trained * states,
    }


def numbers_in(parameter: torch.nn.Parameter) -> int:
    """How many weights a parameter holds, of which several may share a byte."""
    state = quantization_state(parameter)
    return prod(state.shape if state else parameter.shape)


def bytes_of(parameter: torch.nn.Parameter) -> int:
    """What a parameter takes in memory, with the scales that belong to 4-bit weights."""
    state = quantization_state(parameter)
    scales = state.as_dict(packed=True).values() if state else ()
    return int(parameter.nbytes + sum(tensor.nbytes for tensor in scales))


def quantization_state(parameter: Any) -> Any:
    """What bitsandbytes keeps beside a 4-bit weight: its shape and scales; None for an ordinary weight."""
    return getattr(parameter, "quant_state", None)
