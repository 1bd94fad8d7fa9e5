"""Device and precision of a training."""

from contextlib import nullcontext
from typing import Any

import torch

from ..errors import UserError


def choose_device(wanted: str) -> torch.device:
    """The device that `train.device` asks for. Raises UserError where the machine does not have it."""
    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name in has if has[name]))
    if not has[wanted]:
        raise UserError(f"train.device: '{wanted}' is not available here: use auto, or see `finetune doctor`")
    return torch.device(wanted)


def uses_bf16(precision: str, device: torch.device, hidden_size: int) -> bool:
    """Whether the forward pass runs in bf16: where asked for, or where the hardware multiplies it faster than fp32."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        # Small matrices lose more by the conversion than the instruction gains.
        supported = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return bool(supported) and hidden_size >= 512
    return False


def autocast(bf16: bool, device: torch.device) -> Any:
    """Context of the forward pass; the weights, the loss and the optimizer stay in fp32."""
    return torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext()
