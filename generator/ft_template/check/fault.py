"""What is wrong, where, and what mends it; a rule is a function that finds it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .project import Project


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


Finding = tuple[Place, str]
Finder = Callable[["Project"], Iterable[Finding]]


@dataclass(frozen=True)
class Rule:
    """A name, what finds the faults, and what mends them."""

    name: str
    find: Finder
    remedy: str
    note: bool

    def faults(self, project: Project) -> Iterator[Fault]:
        for place, message in self.find(project):
            yield Fault(self.name, place, message, self.remedy, self.note)


def rule(name: str, remedy: str, *, note: bool = False) -> Callable[[Finder], Rule]:
    """Make a rule of a function that yields places and what is wrong there."""
    return lambda find: Rule(name, find, remedy, note)
