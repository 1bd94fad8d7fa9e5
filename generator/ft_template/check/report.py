"""What `ft-template check` prints: a list for people, or one JSON document for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from ..errors import FAULTS, OK, UserError
from .check import check
from .fault import Fault
from .rules.all import RULES
from .run.command import interpreter

if TYPE_CHECKING:
    from .run.start import Start

FORMAT = 1
"""Version of the keys in the JSON document."""


def report(folder: Path, *, as_json: bool, run: bool, python: Path | None, seconds: float) -> int:
    """Check a project, print the result, and return the exit code. Raises UserError where there is no project.

    What has faults is not started: the same faults would only show once more, and later.
    """
    if not (folder / ".idea").is_dir() and not (folder / "pyproject.toml").is_file():
        raise UserError(f"{folder}: is no project: name a folder that ft-template or cookiecutter has made")
    console = Console(emoji=False, highlight=False, soft_wrap=True, quiet=as_json)
    faults = check(folder)
    show(folder, faults, console)
    amiss = any(not fault.note for fault in faults)
    starts = start(folder, python, seconds, console) if run and not amiss else []
    if as_json:
        print(json.dumps(document(folder, faults, starts), indent=1, ensure_ascii=False))
    return FAULTS if amiss or any(found.fault for found in starts) else OK


def start(folder: Path, python: Path | None, seconds: float, console: Console) -> list[Start]:
    """Start all configurations, and print each as it ends."""
    from .run.start import start_all

    chosen = python or interpreter(folder)
    if not chosen.is_file():
        raise UserError(f"{chosen}: there is no interpreter: run setup_env.py in the project, or name one by --python")
    starts = start_all(folder, chosen.absolute(), seconds, lambda found: show_start(found, console))
    failed = sum(bool(found.fault) for found in starts)
    console.print(f"{len(starts)} starts, {failed} failed")
    return starts


def show_start(found: Start, console: Console) -> None:
    mark = "[red]failed[/] " if found.fault else "[green]started[/]"
    console.print(f"{mark} {found.seconds:5.1f} s  {escape(found.name)} [dim]({escape(found.said)})[/]")
    if found.fault:
        console.print(f"  {escape(str(found.place))}: {escape(found.fault)}")
        console.print(escape("\n".join(f"  | {line}" for line in found.tail.splitlines())))


def document(folder: Path, faults: Sequence[Fault], starts: Sequence[Start]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "project": str(folder.resolve()),
        "rules": len(RULES),
        "faults": [
            {
                "rule": fault.rule,
                "gravity": "note" if fault.note else "fault",
                "file": fault.place.file,
                "line": fault.place.line,
                "message": fault.message,
                "remedy": fault.remedy,
            }
            for fault in faults
        ],
        "starts": [
            {
                "name": found.name,
                "file": found.place.file,
                "line": found.place.line,
                "said": found.said,
                "seconds": round(found.seconds, 2),
                "fault": found.fault,
                "tail": found.tail,
            }
            for found in starts
        ],
    }


def show(folder: Path, faults: Sequence[Fault], console: Console) -> None:
    """Each fault with its remedy below it."""
    for fault in faults:
        colour = "yellow" if fault.note else "red"
        rule = escape(f"[{fault.rule}]")
        console.print(f"[{colour}]{escape(str(fault.place))}[/] {escape(fault.message)} [dim]{rule}[/]")
        console.print(f"  → {escape(fault.remedy)}")
    count = sum(not fault.note for fault in faults)
    notes = len(faults) - count
    said = f"{count} fault{'s' * (count != 1)}" + (f", {notes} note{'s' * (notes != 1)}" if notes else "")
    console.print(f"{escape(str(folder))}: {said} by {len(RULES)} rules")
