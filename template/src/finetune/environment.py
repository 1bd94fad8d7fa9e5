"""What a run was made with: versions, hardware and the bytes of the data."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from .config import Config
from .data import fingerprint

PACKAGES = ("torch", "transformers", "peft", "tokenizers", "safetensors", "numpy")


def describe_environment(config: Config, device: torch.device) -> dict[str, Any]:
    """Versions of Python and packages, the device, and the checksum of each data file by its path."""
    files = [path for path in (config.data.train, config.data.validation, config.data.test) if path]
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: version(name) for name in PACKAGES},
        "device": device_name(device),
        "data": {path.as_posix(): fingerprint(Path(path)) for path in files},
    }


def device_name(device: torch.device) -> str:
    """The device in words, such as `cuda (NVIDIA H100)` or `cpu (8 threads)`."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        return f"cpu ({torch.get_num_threads()} threads)"
    return device.type
