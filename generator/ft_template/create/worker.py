"""The jobs that run code of a template, in a child process.

So they can be terminated with all their children, their temporary files are removed with the parent's, and their
output does not mix with the events on standard output.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def fetch(template: str, folder: str) -> dict[str, Any]:
    """Download a template; returns its path."""
    from cookiecutter.config import get_user_config
    from cookiecutter.repository import determine_repo_dir

    abbreviations = get_user_config()["abbreviations"]
    found, _ = determine_repo_dir(template, abbreviations, folder, checkout=None, no_input=True)
    return {"path": str(Path(found).resolve())}


def render(template: str, answers: dict[str, Any], folder: str, hooks: bool) -> dict[str, Any]:
    """Render a project; returns its path, or the error and whether the failed hook ran before or after rendering."""
    from cookiecutter.exceptions import FailedHookException

    from .bake import bake

    try:
        return {"path": str(bake(Path(folder), answers, template=template, hooks=hooks, keep=True))}
    except FailedHookException as error:
        before = not any(path.is_file() for path in Path(folder).rglob("*"))
        return {"error": f"A hook of the template failed ({error})", "hook": "before" if before else "after"}


def environment(project: str, choice: str) -> dict[str, Any]:
    """Create the Python environment as the template's hook does; returns the error, if any."""
    from ..hooks import post_gen

    return {"error": post_gen().create_environment(Path(project), choice)}


JOBS: dict[str, Callable[..., dict[str, Any]]] = {"fetch": fetch, "render": render, "environment": environment}


def main() -> None:
    """Read a job from standard input and write the reply to standard output; other output goes to standard error."""
    job = json.load(sys.stdin)
    stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        reply = JOBS[job.pop("job")](**job)
    except Exception as error:  # a template may raise anything
        reply = {"error": describe_error(error)}
    with stdout:
        json.dump(reply, stdout)


def describe_error(error: Exception) -> str:
    """The cause in one line, with the template's file and line if known."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    place = ""
    if filename := getattr(error, "filename", None) or getattr(error, "name", None):
        line = getattr(error, "lineno", None)
        place = f"{filename}:{line}: " if line else f"{filename}: "
    # Cookiecutter appends all answers to its message about an undefined name.
    reason = str(error).partition(" Context: ")[0].strip().partition("\n")[0].rstrip(".:")
    return f"{place}{reason or type(error).__name__}"
