"""Read a project as PyCharm does, from rules of its own: what makes projects knows none of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .fault import Fault


def check(folder: Path) -> list[Fault]:
    """All faults of a project, by file and line; nothing is changed and nothing of it is run."""
    from .project import Project
    from .rules import RULES

    project = Project(folder)
    faults = [fault for rule in RULES for fault in rule.faults(project)]
    return sorted(faults, key=lambda fault: (fault.place.file, fault.place.line or 0, fault.rule))
