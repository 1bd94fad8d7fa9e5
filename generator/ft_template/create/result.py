"""The event `result`: what a program needs to open the new project."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from .. import hooks
from ..check.run.command import interpreter

OPEN_FILES = ("README.md", "configs/demo.yaml", "configs/train.yaml")


def describe_result(
    project: Path, folder: Path, answers: Mapping[str, object], environment: str | None, dry_run: bool = False
) -> dict[str, Any]:
    """The fields of the event; `project` is where the files are now, `folder` the target.

    `environment` is the answer to that question, None if the template does not support it.
    """
    steps, commands = _next_steps(folder, environment)
    return {
        "project_dir": str(folder),
        "dry_run": dry_run,
        "answers": dict(answers),
        "open_files": [name for name in OPEN_FILES if (project / name).is_file()],
        "select_run_configuration": _run_configuration(project, environment),
        "interpreter": str(interpreter(folder)) if environment in ("empty", "install") else None,
        "next_steps": steps,
        "commands": commands,
    }


def _next_steps(folder: Path, environment: str | None) -> tuple[list[str], list[str]]:
    """The next steps in PyCharm, and the commands in a terminal that stands in the current folder."""
    shown = shlex.quote(folder.name if folder.parent == Path.cwd() else str(folder))
    if environment is None:
        in_pycharm, in_terminal = [f"Open the folder {shown}"], [f"cd {shown}"]
    else:
        in_pycharm, in_terminal = hooks.post_gen().next_steps(shown, environment)
    is_here = folder == Path.cwd()
    return [re.sub(" {2,}", ": ", step) for step in in_pycharm], in_terminal[1:] if is_here else in_terminal


def _run_configuration(project: Path, environment: str | None) -> str | None:
    """The name of the run configuration to start with; None if the project has none of that name."""
    wanted = "Install dependencies" if environment == "empty" else "Train (demo)"
    files = sorted((project / ".idea" / "runConfigurations").glob("*.xml"))
    names = {node.get("name") for file in files for node in ElementTree.parse(file).iter("configuration")}
    return wanted if wanted in names else None
