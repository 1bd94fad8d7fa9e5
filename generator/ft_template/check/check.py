"""Check a project against all rules."""

from collections.abc import Iterable
from pathlib import Path

from .fault import Fault
from .project.project import Project
from .rules.all import RULES


def check(folder: Path) -> list[Fault]:
    """All faults and notes of a project, sorted by file and line; reads only."""
    project = Project(folder)
    return sorted_faults(fault for rule in RULES for fault in rule.faults(project))


def sorted_faults(faults: Iterable[Fault]) -> list[Fault]:
    return sorted(faults, key=lambda fault: (fault.place.file, fault.place.line or 0, fault.rule))
