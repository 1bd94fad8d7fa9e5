"""What `ft-template check` prints: a list for people, or one JSON document for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from ..errors import FAULTS, OK, UserError
from . import check
from .fault import Fault
from .rules import RULES

FORMAT = 1
"""Version of the keys in the JSON document."""


def report(folder: Path, *, as_json: bool) -> int:
    """Check a project, print the result, and return the exit code. Raises UserError where there is no project."""
    if not (folder / ".idea").is_dir() and not (folder / "pyproject.toml").is_file():
        raise UserError(f"{folder}: is no project: name a folder that ft-template or cookiecutter has made")
    faults = check(folder)
    if as_json:
        print(json.dumps(document(folder, faults), indent=1, ensure_ascii=False))
    else:
        show(folder, faults)
    return FAULTS if any(not fault.note for fault in faults) else OK


def document(folder: Path, faults: Sequence[Fault]) -> dict[str, Any]:
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
    }


def show(folder: Path, faults: Sequence[Fault]) -> None:
    """Each fault with its remedy below it."""
    console = Console(emoji=False, highlight=False, soft_wrap=True)
    for fault in faults:
        colour = "yellow" if fault.note else "red"
        rule = escape(f"[{fault.rule}]")
        console.print(f"[{colour}]{escape(str(fault.place))}[/] {escape(fault.message)} [dim]{rule}[/]")
        console.print(f"  → {escape(fault.remedy)}")
    count = sum(not fault.note for fault in faults)
    notes = len(faults) - count
    said = f"{count} fault{'s' * (count != 1)}" + (f", {notes} note{'s' * (notes != 1)}" if notes else "")
    console.print(f"{escape(str(folder))}: {said} by {len(RULES)} rules")
