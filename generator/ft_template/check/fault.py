"""What is wrong, where, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Place(NamedTuple):
    """A file of the project, with forward slashes, and a line where one is known."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Fault:
    """Something that PyCharm would ignore, misread or fail at, or that works on one machine only."""

    rule: str
    place: Place
    message: str
    remedy: str
    note: bool = False
    """Works, but is worth knowing: it does not make the project a faulty one."""

    def __str__(self) -> str:
        return f"{self.place}: {self.message}: {self.remedy} [{self.rule}]"


Violation = tuple[Place, str]
