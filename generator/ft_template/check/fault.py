"""A fault in a project: the rule that found it, its place, and the remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Place(NamedTuple):
    """A file of the project, with forward slashes, and a line if known."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Fault:
    """Something that PyCharm ignores, misreads or fails at, or that works on one machine only."""

    rule: str
    place: Place
    message: str
    remedy: str
    note: bool = False
    """A note: it works but is worth knowing, and does not change the exit code."""

    @property
    def severity(self) -> str:
        return "note" if self.note else "fault"

    def __str__(self) -> str:
        return f"{self.place}: {self.message}: {self.remedy} [{self.rule}]"


Violation = tuple[Place, str]
"""What a rule finds: the place and the message."""
