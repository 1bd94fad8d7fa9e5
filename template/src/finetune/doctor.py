"""Check the machine for training: Python, packages, accelerator, memory, disk; each problem with its remedy."""

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from .console import Cell, counted, print_line, print_table

GIB = 2**30
PACKAGES = (
    "torch", "transformers", "peft", "tokenizers", "safetensors", "tensorboard", "scikit-learn", "seqeval", "pydantic",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of one check; `remedy` is empty if nothing is wrong."""

    name: str
    value: str
    remedy: str = ""


def diagnose(console: Console) -> bool:
    """Print the result of every check; returns whether a training can start."""
    results = [_python(), *_packages()]
    if not any(one.remedy for one in results):
        results += [_accelerator(), _precision(), _cache()]
    results += [_memory(), _disk(Path.cwd())]
    passed, failed = Text("✓", "green"), Text("!", "yellow")
    rows: list[list[Cell]] = [[failed if one.remedy else passed, one.name, one.value, one.remedy] for one in results]
    print_table(console, ["", "", "found", "remedy"], rows)
    return not any(one.remedy for one in results)


def _python() -> Diagnosis:
    remedy = "" if sys.version_info >= (3, 11) else "install Python 3.11 or newer, then run setup_env.py"
    inside = "" if sys.prefix != sys.base_prefix else " (no virtual environment)"
    return Diagnosis("Python", f"{platform.python_version()}{inside}", remedy)


def _packages() -> list[Diagnosis]:
    results = []
    for name in PACKAGES:
        try:
            results.append(Diagnosis(name, version(name)))
        except PackageNotFoundError:
            results.append(Diagnosis(name, "missing", "run setup_env.py"))
    return results


def _accelerator() -> Diagnosis:
    import torch

    if torch.cuda.is_available():
        gpus = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
        return Diagnosis("accelerator", ", ".join(f"{gpu.name} ({gpu.total_memory / GIB:.0f} GiB)" for gpu in gpus))
    if torch.backends.mps.is_available():
        return Diagnosis("accelerator", "Apple GPU (mps)")
    built = "a CUDA build, but no GPU answers" if torch.version.cuda else "CPU build of torch"
    driver = shutil.which("nvidia-smi")
    remedy = ""
    if driver:
        remedy = "there is an NVIDIA driver: " + (
            "update it" if torch.version.cuda else 'set accelerator = "cuda" in pyproject.toml and run setup_env.py'
        )
    threads = counted(torch.get_num_threads(), "CPU thread")
    enough = "" if remedy else ": enough for the demo and small models; a base model takes hours, LoRA a part of them"
    return Diagnosis("accelerator", f"none, {threads} ({built}){enough}", remedy)


def _precision() -> Diagnosis:
    from .model.device import choose_device, has_bf16, has_fp16

    device = choose_device("auto")
    if has_bf16(device):
        return Diagnosis("precision", "bf16 where it is faster, else fp32")
    return Diagnosis("precision", "fp16 with loss scaling" if has_fp16(device) else "fp32")


def _cache() -> Diagnosis:
    from .cache_entries import cache_entries

    size = sum(entry.size for entry in cache_entries())
    return Diagnosis("cache", f"{_shown(size)} of tokenized data" + (", which --clean removes" if size else ""))


def clean(console: Console, days: float) -> None:
    """Remove the tokenized data that no training has used for so many days, and print what was removed and kept."""
    from .cache_entries import cache_entries

    removed = 0
    for entry in cache_entries():
        what = "kept"
        if entry.is_kept:
            what = "kept while a training is running"
        elif entry.unused >= days:
            what = "removed"
            entry.remove()
            removed += entry.size
        age = counted(int(entry.unused), "day")
        print_line(console, escape(f"{what}: {entry.folder} ({_shown(entry.size)}, last used {age} ago)"))
    print_line(console, f"{_shown(removed)} removed")


def _shown(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _memory() -> Diagnosis:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    except (AttributeError, ValueError, OSError):
        return Diagnosis("memory", "unknown here")
    return Diagnosis("memory", f"{total:.0f} GiB", "" if total >= 4 else "4 GiB are the least; use a smaller model")


def _disk(folder: Path) -> Diagnosis:
    free = shutil.disk_usage(folder).free / GIB
    return Diagnosis("free disk", f"{free:.0f} GiB", "" if free >= 2 else "free 2 GiB: checkpoints need room")
