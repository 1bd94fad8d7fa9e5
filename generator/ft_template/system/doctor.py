"""`ft-template doctor`: whether projects can be created and models trained on this machine."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from .. import PROTOCOL, __version__
from .machine import GB, Machine, format_size

OLDEST_DRIVER = 525  # the first that supports CUDA 12
MINIMUM_MEMORY = 4 * GB
PROJECT_SIZE = GB // 10

VENV_REMEDY = "install them (Debian, Ubuntu: sudo apt install python3-venv)"


@dataclass(frozen=True)
class Diagnosis:
    """The result of one check; `level` is ok, info, warning, or error if no project can be created."""

    id: str
    level: str
    message: str
    remedy: str | None = None


def diagnose(machine: Machine) -> list[Diagnosis]:
    """The results of all checks, in the order in which they are shown."""
    return [_python(machine), _git(machine), _uv(machine), *_gpus(machine), _memory(machine), _disk(machine)]


def document(machine: Machine) -> dict[str, Any]:
    """The output of --json; docs/companion.md describes it."""
    findings = [asdict(diagnosis) for diagnosis in diagnose(machine)]
    return {"protocol": PROTOCOL, "version": __version__, "machine": asdict(machine), "findings": findings}


def _python(machine: Machine) -> Diagnosis:
    message = f"Python {machine.python} at {machine.executable}"
    if machine.venv:
        return Diagnosis("python", "ok", message)
    return Diagnosis("python", "error", f"{message} lacks venv or ensurepip: no .venv can be created", VENV_REMEDY)


def _git(machine: Machine) -> Diagnosis:
    if machine.git:
        return Diagnosis("git", "ok", f"git {machine.git}")
    return Diagnosis("git", "warning", "git is missing: templates cannot be downloaded by URL", "install git")


def _uv(machine: Machine) -> Diagnosis:
    if machine.uv:
        return Diagnosis("uv", "ok", f"uv {machine.uv}")
    return Diagnosis("uv", "info", "uv is missing: a project's setup_env.py downloads its own copy")


def _gpus(machine: Machine) -> Iterator[Diagnosis]:
    if machine.gpu_trouble:
        message = f"The NVIDIA driver does not work ({machine.gpu_trouble})"
        yield Diagnosis("gpu", "warning", message, "reinstall the driver, then restart the machine")
    elif not machine.gpus:
        yield Diagnosis("gpu", "info", "No NVIDIA GPU: the demo and small models train on the CPU")
    for gpu in machine.gpus:
        memory = f", {format_size(gpu.memory)}" if gpu.memory else ""
        yield Diagnosis("gpu", "ok", f"{gpu.name}{memory}")
    if machine.gpus:
        yield _driver(machine.gpus[0].driver)


def _driver(version: str) -> Diagnosis:
    major = version.partition(".")[0]
    if major.isdigit() and int(major) < OLDEST_DRIVER:
        message = f"NVIDIA driver {version} is older than {OLDEST_DRIVER}, which CUDA 12 needs"
        return Diagnosis("driver", "warning", message, f"update the driver to {OLDEST_DRIVER} or newer")
    return Diagnosis("driver", "ok", f"NVIDIA driver {version}")


def _memory(machine: Machine) -> Diagnosis:
    message = f"{format_size(machine.memory)} memory, {format_size(machine.memory_available)} available"
    if machine.memory_available >= MINIMUM_MEMORY:
        return Diagnosis("memory", "ok", message)
    return Diagnosis("memory", "warning", f"{message}: low for training", "close other programs before you train")


def _disk(machine: Machine) -> Diagnosis:
    message = f"{format_size(machine.disk)} disk space free"
    if machine.disk < PROJECT_SIZE:
        return Diagnosis("disk", "error", f"{message}: too little for a project", "free some space")
    if machine.disk < machine.install_size:
        remedy = f"free {format_size(machine.install_size)} before you install the dependencies"
        return Diagnosis("disk", "warning", f"{message}: too little for the dependencies", remedy)
    return Diagnosis("disk", "ok", message)
