"""The output of `ft-template check`: lines in a terminal, or one JSON document."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from ..errors import CHECK_FAILED, OK, UserError
from .fault import Fault
from .limited import check_limited
from .rules.all import RULES
from .run.command import interpreter
from .run.start import StartResult, start_all

FORMAT = 2
"""Version of the JSON document; docs/companion.md describes it."""


def report(folder: Path, *, as_json: bool, run: bool, python: Path | None, seconds: float) -> int:
    """Check a project, print the result, and return the exit code. Raises UserError if the folder is no project.

    A project with faults is not run: the same faults would show again, only later.
    """
    if not os.path.isdir(folder / ".idea") and not os.path.isfile(folder / "pyproject.toml"):
        raise UserError(f"{folder}: not a project: give a folder that ft-template or cookiecutter has created")
    console = Console(emoji=False, highlight=False, soft_wrap=True, quiet=as_json)
    faults = check_limited(folder)
    print_faults(folder, faults, console)
    faulty = any(not fault.note for fault in faults)
    starts = run_all(folder, python, seconds, console) if run and not faulty else []
    if as_json:
        print(json.dumps(document(folder, faults, starts), indent=1))
    return CHECK_FAILED if faulty or any(start.error for start in starts) else OK


def run_all(folder: Path, python: Path | None, seconds: float, console: Console) -> list[StartResult]:
    """Start all run configurations, and print each result at once."""
    chosen = python or interpreter(folder)
    if not chosen.is_file():
        message = f"{chosen}: no such interpreter: run the project's setup_env.py, or name an interpreter by --python"
        raise UserError(message)
    starts = start_all(folder, chosen.absolute(), seconds, lambda start: print_start(start, console))
    failed = sum(bool(start.error) for start in starts)
    console.print(f"{len(starts)} starts, {failed} failed")
    return starts


def document(folder: Path, faults: Sequence[Fault], starts: Sequence[StartResult]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "project": str(folder.resolve()),
        "rules": len(RULES),
        "faults": [
            {
                "rule": fault.rule,
                "severity": fault.severity,
                "file": fault.place.file,
                "line": fault.place.line,
                "message": fault.message,
                "remedy": fault.remedy,
            }
            for fault in faults
        ],
        "starts": [
            {
                "name": start.name,
                "file": start.place.file,
                "line": start.place.line,
                "description": start.description,
                "seconds": round(start.seconds, 2),
                "error": start.error,
                "output": start.output,
            }
            for start in starts
        ],
    }


def print_start(start: StartResult, console: Console) -> None:
    mark = "[red]failed[/] " if start.error else "[green]started[/]"
    console.print(f"{mark} {start.seconds:5.1f} s  {escape(start.name)} [dim]({escape(start.description)})[/]")
    if start.error:
        console.print(f"  {escape(str(start.place))}: {escape(start.error)}")
        console.print(escape("\n".join(f"  | {line}" for line in start.output.splitlines())))


def print_faults(folder: Path, faults: Sequence[Fault], console: Console) -> None:
    """Each fault with its remedy below it, then the counts."""
    for fault in faults:
        colour = "yellow" if fault.note else "red"
        rule = escape(f"[{fault.rule}]")
        console.print(f"[{colour}]{escape(str(fault.place))}[/] {escape(fault.message)} [dim]{rule}[/]")
        console.print(f"  → {escape(fault.remedy)}")
    count = sum(not fault.note for fault in faults)
    notes = len(faults) - count
    counts = f"{count} fault{'s' * (count != 1)}" + (f", {notes} note{'s' * (notes != 1)}" if notes else "")
    console.print(f"{escape(str(folder))}: {counts} ({len(RULES)} rules checked)")
