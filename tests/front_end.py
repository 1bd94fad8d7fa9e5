"""Shared by the tests of the command: a listener that records events, and the contents of folders."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import write_files
from ft_template.create.bake import REPOSITORY

COMMAND = [sys.executable, "-m", "ft_template"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPOSITORY / "generator"), "PYTHONDONTWRITEBYTECODE": "1"}
ENVIRONMENT.pop("PYTHONUNBUFFERED", None)  # events have to come at once without it
STEPS = ["template", "answers", "render", "check", "place", "environment"]


class Recorder:
    """Records the events; `on_step` is called when a step starts."""

    def __init__(self, on_step: Callable[[str], None] = lambda step: None) -> None:
        self.on_step = on_step
        self.events: list[dict[str, Any]] = []

    def emit(self, event: str, /, **fields: Any) -> None:
        self.events.append({"event": event, **fields})
        if event == "step":
            self.on_step(fields["id"])

    def all(self, event: str) -> list[dict[str, Any]]:
        return [recorded for recorded in self.events if recorded["event"] == event]

    def one(self, event: str) -> dict[str, Any]:
        (recorded,) = self.all(event)
        return recorded

    @property
    def message(self) -> str:
        return str(self.one("error")["message"])


def names(folder: Path) -> set[str]:
    """Everything below a folder: files, folders and links."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def ft_template(*arguments: str | Path, cwd: Path, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run the command in a folder, without a terminal."""
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=ENVIRONMENT | more, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def small_template(folder: Path, **files: str) -> Path:
    """A template with one question and one file, and more files by path (a hook, a broken file)."""
    contents = {
        "cookiecutter.json": '{"project_slug": "small"}',
        "{{cookiecutter.project_slug}}/README.md": "# {{ cookiecutter.project_slug }}\n",
        **files,
    }
    write_files(folder, contents)
    return folder
