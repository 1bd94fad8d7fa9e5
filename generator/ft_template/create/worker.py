"""The jobs that run code of a template, in a process of their own.

There they can be ended with all that they have started, their temporary files lie where they are removed, and
nothing that they print mixes with the events on standard output.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def fetch(template: str, folder: str) -> dict[str, Any]:
    """Bring a template from elsewhere; returns where it lies."""
    from cookiecutter.config import get_user_config
    from cookiecutter.repository import determine_repo_dir

    abbreviations = get_user_config()["abbreviations"]
    found, _ = determine_repo_dir(template, abbreviations, folder, checkout=None, no_input=True)
    return {"path": str(Path(found).resolve())}


def render(template: str, answers: dict[str, Any], folder: str, hooks: bool) -> dict[str, Any]:
    """Write the files of a project; returns where it lies."""
    from cookiecutter.exceptions import FailedHookException

    from .bake import bake

    try:
        return {"path": str(bake(Path(folder), answers, template=template, hooks=hooks, keep=True))}
    except FailedHookException as error:
        before = not any(path.is_file() for path in Path(folder).rglob("*"))
        reason = f"A hook of the template has failed ({error})"
        return {"error": reason, "hook": "before" if before else "after"}


def environment(project: str, choice: str) -> dict[str, Any]:
    """Make the Python environment as the hook of the template does; returns what went wrong, if anything."""
    from ..hooks import after

    return {"trouble": after().make_environment(Path(project), choice)}


JOBS: dict[str, Callable[..., dict[str, Any]]] = {"fetch": fetch, "render": render, "environment": environment}


def main() -> None:
    """Do the job on standard input and answer on standard output; all other output goes to standard error."""
    job = json.load(sys.stdin)
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        result = JOBS[job.pop("job")](**job)
    except Exception as error:  # a template may raise anything
        result = {"error": explain(error)}
    with answer:
        json.dump(result, answer)


def explain(error: Exception) -> str:
    """The cause in a few words, with the file of the template where it is known."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    place = ""
    if filename := getattr(error, "filename", None) or getattr(error, "name", None):
        line = getattr(error, "lineno", None)
        place = f"{filename}:{line}: " if line else f"{filename}: "
    # Cookiecutter appends all answers to what it says of a name that is not defined.
    reason = str(error).partition(" Context: ")[0].strip().partition("\n")[0].rstrip(".:")
    return f"{place}{reason or type(error).__name__}"
