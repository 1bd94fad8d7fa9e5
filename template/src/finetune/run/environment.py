"""Environment of a run: versions, hardware and checksums of the data."""

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..config.config import Config
from ..files import MANIFEST, sha256_of
from .folder import RunFolder

PACKAGES = ("torch", "transformers", "peft", "tokenizers", "safetensors", "numpy")


def describe_environment(config: Config, device: torch.device, processes: int = 1) -> dict[str, Any]:
    """Versions of Python and packages, the device of each process, and the checksum of each data file by its path.

    To the data belong the earlier run that this one goes on from, and what that keeps for it: their manifests, which
    hold the checksums of their files.
    """
    parts = [stage.data for stage in config.stages] or [config.data]
    files = [path for data in parts for path in (data.train, data.validation, data.test) if path]
    if config.continue_from:
        folders = (config.continue_from / name for name in ("best", config.continual.type))
        files += [folder / MANIFEST for folder in folders if (folder / MANIFEST).is_file()]
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: version(name) for name in PACKAGES},
        "device": device_name(device),
        "processes": processes,
        "data": {path.as_posix(): sha256_of(Path(path)) for path in files},
    }


def read_environment(run: RunFolder) -> dict[str, Any]:
    """The environment that was recorded when the run was started."""
    found: dict[str, Any] = json.loads(run.environment_file.read_text(encoding="utf-8"))
    return found


def device_name(device: torch.device) -> str:
    """Name of the device, such as `cuda (NVIDIA H100)` or `cpu (8 threads)`."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        return f"cpu ({torch.get_num_threads()} threads)"
    return device.type
