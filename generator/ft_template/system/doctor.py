"""What `ft-template doctor` says of this machine: facts, and findings with their remedies."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from .. import PROTOCOL, __version__
from .machine import GB, TO_INSTALL, Machine, size

OLDEST_DRIVER = 525  # the first that runs CUDA 12
LITTLE_MEMORY = 4 * GB
TO_MAKE_A_PROJECT = GB // 10

VENV_REMEDY = "install them (Debian, Ubuntu: sudo apt install python3-venv)"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `level` is ok, info, warning or error (no project can be made)."""

    id: str
    level: str
    message: str
    remedy: str | None = None


def examine(machine: Machine) -> list[Finding]:
    """Each finding once, whether good or bad, in the order of the table."""
    return [_python(machine), _git(machine), _uv(machine), *_gpus(machine), _memory(machine), _disk(machine)]


def document(machine: Machine) -> dict[str, Any]:
    """What --json prints; docs/companion.md describes it."""
    findings = [asdict(finding) for finding in examine(machine)]
    return {"protocol": PROTOCOL, "version": __version__, "machine": asdict(machine), "findings": findings}


def _python(machine: Machine) -> Finding:
    found = f"Python {machine.python} at {machine.executable}"
    if machine.venv:
        return Finding("python", "ok", found)
    return Finding("python", "error", f"{found} lacks venv or ensurepip, without which no .venv is made", VENV_REMEDY)


def _git(machine: Machine) -> Finding:
    if machine.git:
        return Finding("git", "ok", f"git {machine.git}")
    return Finding("git", "warning", "git is missing: templates cannot be fetched by URL", "install git")


def _uv(machine: Machine) -> Finding:
    if machine.uv:
        return Finding("uv", "ok", f"uv {machine.uv}")
    return Finding("uv", "info", "uv is missing: setup_env.py of a project fetches it for itself")


def _gpus(machine: Machine) -> Iterator[Finding]:
    if machine.gpu_trouble:
        message = f"The NVIDIA driver does not answer ({machine.gpu_trouble})"
        yield Finding("gpu", "warning", message, "install the driver anew, then restart the machine")
    elif not machine.gpus:
        yield Finding("gpu", "info", "No NVIDIA GPU: the demo and small models train on the CPU")
    for gpu in machine.gpus:
        memory = f", {size(gpu.memory)}" if gpu.memory else ""
        yield Finding("gpu", "ok", f"{gpu.name}{memory}")
    if machine.gpus:
        yield _driver(machine.gpus[0].driver)


def _driver(version: str) -> Finding:
    major = version.partition(".")[0]
    if major.isdigit() and int(major) < OLDEST_DRIVER:
        message = f"NVIDIA driver {version} is older than {OLDEST_DRIVER}, which CUDA 12 needs"
        return Finding("driver", "warning", message, f"update the driver to {OLDEST_DRIVER} or newer")
    return Finding("driver", "ok", f"NVIDIA driver {version}")


def _memory(machine: Machine) -> Finding:
    found = f"{size(machine.memory)} of memory, {size(machine.memory_available)} of it available"
    if machine.memory_available >= LITTLE_MEMORY:
        return Finding("memory", "ok", found)
    return Finding("memory", "warning", f"{found}: little for a training", "end other programs before you train")


def _disk(machine: Machine) -> Finding:
    needed = TO_INSTALL["cuda" if machine.gpus else "cpu"]
    found = f"{size(machine.disk)} of disk space free"
    if machine.disk < TO_MAKE_A_PROJECT:
        return Finding("disk", "error", f"{found}: too little for a project", "free some space")
    if machine.disk < needed:
        remedy = f"free {size(needed)} before you install the dependencies"
        return Finding("disk", "warning", f"{found}: too little to install the dependencies", remedy)
    return Finding("disk", "ok", found)
