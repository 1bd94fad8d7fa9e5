"""The device of a training, and what it computes in."""

from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, Literal

import psutil
import torch

from ..errors import UserError

Precision = Literal["fp32", "bf16", "fp16"]
"""What the forward pass computes in."""
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


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


def has_fp16(device: torch.device) -> bool:
    """Whether the device is a GPU with fast matrix products in fp16: NVIDIA's Volta, Turing and later."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)


def autocast(precision: Precision, device: torch.device) -> Any:
    """Context of the forward pass in mixed precision; the weights, the loss and the optimizer stay in fp32."""
    return nullcontext() if precision == "fp32" else torch.autocast(device.type, DTYPES[precision])


def random_devices(device: torch.device) -> list[torch.device]:
    """The GPU whose random state a computation on `device` changes, for `fork_rng`, which otherwise takes all GPUs."""
    return [device] if device.type == "cuda" else []


def free_memory(device: torch.device, group: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes of memory that can be taken on a device; for a CPU within the limit of a container, `group`."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    free = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError, KeyError):  # no such limit
        limit, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
        numbers = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        free = min(free, limit - used + int(numbers["inactive_file"]))  # cached files give way
    return free
