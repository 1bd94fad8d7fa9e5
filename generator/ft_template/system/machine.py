"""Facts about this machine that matter for fine-tuning, found without importing torch."""

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
INSTALL_SIZE = {"cuda": 8 * GB, "cpu": 2 * GB}
"""Disk space for the dependencies of a project, downloaded archives included, in bytes by build of PyTorch."""

GPU_QUERY = ("--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits")


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU, as nvidia-smi describes it."""

    name: str
    memory: int | None
    """In bytes; None for a GPU that shares the main memory."""
    driver: str


@dataclass(frozen=True)
class Machine:
    """Hardware and installed programs; sizes in bytes. The field names are those of `doctor --json`."""

    system: str
    python: str
    executable: str
    venv: bool
    """Whether this Python has venv and ensurepip, which Debian packages separately."""
    git: str | None
    uv: str | None
    gpus: tuple[Gpu, ...]
    gpu_trouble: str | None
    """Error message of an installed NVIDIA driver that does not work."""
    memory: int
    memory_available: int
    disk: int
    """Free space where the project will be created."""

    @property
    def training_memory(self) -> int:
        """Memory for weights, gradients, optimizer state and activations: of the largest GPU, else main memory."""
        return max((gpu.memory or self.memory for gpu in self.gpus), default=self.memory)

    @property
    def device(self) -> str:
        return self.gpus[0].name if self.gpus else "the CPU"

    @property
    def install_size(self) -> int:
        """Disk space that the dependencies need on this machine."""
        return INSTALL_SIZE["cuda" if self.gpus else "cpu"]


def inspect_machine(folder: Path) -> Machine:
    """Inspect this machine; `folder` is where the project will be created."""
    import psutil

    gpus, gpu_error = query_gpus()
    memory = psutil.virtual_memory()
    return Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        executable=sys.executable,
        venv=all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")),
        git=version_of("git"),
        uv=version_of("uv"),
        gpus=gpus,
        gpu_trouble=gpu_error,
        memory=memory.total,
        memory_available=memory.available,
        disk=shutil.disk_usage(nearest_existing(folder)).free,
    )


def nearest_existing(folder: Path) -> Path:
    """The folder itself, or its nearest parent that exists."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def query_gpus() -> tuple[tuple[Gpu, ...], str | None]:
    """The GPUs that nvidia-smi lists, and its error message if it fails; neither if it is not installed."""
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
    """The first word with a leading digit that `program --version` prints; None if it is not installed."""
    if shutil.which(program) is None:
        return None
    try:
        words = run(program, "--version").split()
    except (OSError, subprocess.SubprocessError):
        return None
    return next((word for word in words if word[0].isdigit()), None)


def run(*command: str) -> str:
    """The output of a short command; raises CalledProcessError, or TimeoutExpired after 10 s."""
    output = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "LC_ALL": "C"},
        text=True,
        errors="replace",
        check=True,
        timeout=10,
    )
    return output.stdout


def format_size(count: int) -> str:
    """A number of bytes in GB."""
    return f"{count / GB:.0f} GB" if count >= 10 * GB else f"{count / GB:.1f} GB"
