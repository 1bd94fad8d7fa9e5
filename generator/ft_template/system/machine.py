"""What this machine has that matters for fine-tuning; nothing heavy is imported to find out."""

import csv
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MIB, GB = 2**20, 10**9
TO_INSTALL = {"cuda": 8 * GB, "cpu": 2 * GB}  # with the packed files that are fetched
GPU_QUERY = ("--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits")


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU as its driver describes it."""

    name: str
    memory: int | None
    """In bytes; a GPU that shares the memory of the machine has none of its own."""
    driver: str


@dataclass(frozen=True)
class Machine:
    """Sizes are in bytes."""

    system: str
    python: str
    executable: str
    venv: bool
    """Whether this Python can make environments with pip, which Debian splits off."""
    git: str | None
    uv: str | None
    gpus: tuple[Gpu, ...]
    gpu_trouble: str | None
    """Why the driver does not answer, where it is installed."""
    memory: int
    memory_available: int
    disk: int
    """Free where the project is to lie."""

    @property
    def training_memory(self) -> int:
        """What the weights, gradients and states of a training share."""
        return max((gpu.memory or self.memory for gpu in self.gpus), default=self.memory)

    @property
    def device(self) -> str:
        return self.gpus[0].name if self.gpus else "the CPU"


def look(folder: Path) -> Machine:
    """Ask this machine; `folder` is where the project is to lie."""
    import psutil

    gpus, trouble = ask_gpus()
    memory = psutil.virtual_memory()
    return Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        executable=sys.executable,
        venv=all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")),
        git=version_of("git"),
        uv=version_of("uv"),
        gpus=gpus,
        gpu_trouble=trouble,
        memory=memory.total,
        memory_available=memory.available,
        disk=shutil.disk_usage(nearest(folder)).free,
    )


def nearest(folder: Path) -> Path:
    """The folder itself, or the first above it that exists."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def ask_gpus() -> tuple[tuple[Gpu, ...], str | None]:
    """The GPUs, and why there is no answer where a driver is installed."""
    if shutil.which("nvidia-smi") is None:
        return (), None
    try:
        listing = run("nvidia-smi", *GPU_QUERY)
    except (OSError, subprocess.SubprocessError) as error:
        output = str(getattr(error, "stdout", None) or "").strip().partition("\n")[0]
        return (), output or str(error)
    rows = [[cell.strip() for cell in row] for row in csv.reader(listing.splitlines()) if len(row) == 3]
    return tuple(Gpu(name, int(size) * MIB if size.isdigit() else None, driver) for name, size, driver in rows), None


def version_of(program: str) -> str | None:
    """The version that a program prints as the first word with a digit; None where there is none."""
    if shutil.which(program) is None:
        return None
    try:
        words = run(program, "--version").split()
    except (OSError, subprocess.SubprocessError):
        return None
    return next((word for word in words if word[0].isdigit()), None)


def run(*command: str) -> str:
    """The output of a short command."""
    output = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "LC_ALL": "C"},
        text=True,
        check=True,
        timeout=10,
    )
    return output.stdout


def size(count: int) -> str:
    """Bytes as people say them."""
    return f"{count / GB:.0f} GB" if count >= 10 * GB else f"{count / GB:.1f} GB"
