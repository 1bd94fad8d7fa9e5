"""The device of a training, and what it computes in."""

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


def has_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for matrix products in bf16."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def autocast(bf16: bool, device: torch.device) -> Any:
    """Context of the forward pass in mixed precision; the weights, the loss and the optimizer stay in fp32."""
    return torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext()


def random_devices(device: torch.device) -> list[torch.device]:
    """The GPU whose random state a computation on `device` changes, for `fork_rng`, which otherwise takes all GPUs."""
    return [device] if device.type == "cuda" else []
