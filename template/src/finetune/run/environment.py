"""Environment of a run: date, versions, commit, hardware and checksums of the data."""

import json
import platform
import subprocess
import tomllib
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..config.config import Config
from ..console import counted
from ..data.files import checksum, files_of
from ..errors import UserError
from ..files import MANIFEST

PACKAGES = ("torch", "transformers", "peft", "tokenizers", "safetensors", "numpy")
LANGUAGES = ("en", "zh")


def describe_environment(config: Config, device: torch.device, processes: int = 1) -> dict[str, Any]:
    """Start, versions, git commit, the device of each process, and the checksum of each data file by its path.

    To the data belong the earlier run that this one goes on from, and what that keeps for it: their manifests, which
    hold the checksums of their files.
    """
    parts = [stage.data for stage in config.stages] or [config.data]
    splits = [files for data in parts for files in (data.train, data.validation, data.test) if files]
    files = [path for some in splits for path in files_of(some)]
    if config.continue_from:
        folders = (config.continue_from / name for name in ("best", config.continual.type))
        files += [folder / MANIFEST for folder in folders if (folder / MANIFEST).is_file()]
    return {
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "language": project_language(),
        "finetune": __version__,
        "template": template_version(),
        "git": git_commit(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: version(name) for name in PACKAGES},
        "device": device_name(device),
        "processes": processes,
        "data": {path.as_posix(): checksum(path) for path in files},
    }


def git_commit() -> dict[str, Any] | None:
    """The commit of the project in the current folder, and whether its files differ from it; None without git."""
    command = ("git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+")
    try:
        described = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if described.returncode != 0:  # no repository, or one without a commit
        return None
    name = described.stdout.strip()
    return {"commit": name.removesuffix("+"), "modified": name.endswith("+")}


def template_version() -> str | None:
    """Name and version of the template that the project in the current folder was made from, if it says so."""
    path = Path(".ft-template.json")
    if not path.is_file():
        return None
    try:
        made_from = json.loads(path.read_text(encoding="utf-8"))
        return f"{made_from['template']} {made_from['version']}"
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: does not name a template and its version: restore the file, or remove it") from error


def project_language() -> str:
    """The language of reports, `[tool.finetune] language` in pyproject.toml of the current folder: en or zh."""
    path = Path("pyproject.toml")
    if not path.is_file():
        return LANGUAGES[0]
    try:
        project = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid TOML ({error}): correct it") from error
    tool = project.get("tool", {})
    section = tool.get("finetune", {}) if isinstance(tool, dict) else tool
    if not isinstance(section, dict):
        raise UserError(f"{path}: tool.finetune is no table: write [tool.finetune] on a line of its own")
    language = section.get("language", LANGUAGES[0])
    if language not in LANGUAGES:
        raise UserError(f"{path}: [tool.finetune] language is {language!r}: write one of {', '.join(LANGUAGES)}")
    return str(language)


def device_name(device: torch.device) -> str:
    """Name of the device, such as `cuda (NVIDIA H100)` or `cpu (8 threads)`."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        return f"cpu ({counted(torch.get_num_threads(), 'thread')})"
    return device.type
