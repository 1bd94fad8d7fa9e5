"""A rule: a function that finds violations in a project, with a name and a remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ..fault import Fault, Place, Violation
from ..project.project import Project

LONGEST = 500
"""Characters of a message that are shown; a value of a hostile file may have any length."""

Finder = Callable[[Project], Iterable[Violation]]


@dataclass(frozen=True)
class Rule:
    """`find` yields the violations; each becomes a fault, or a note, with the rule's name and remedy."""

    name: str
    find: Finder
    remedy: str
    note: bool

    def faults(self, project: Project) -> Iterator[Fault]:
        for place, message in self.find(project):
            yield Fault(self.name, Place(printable(place.file), place.line), printable(message), self.remedy, self.note)


def printable(text: str) -> str:
    """A text of a project on one line of limited length, without characters that control a terminal."""
    shown = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text[:LONGEST])
    return shown if len(text) <= LONGEST else f"{shown}…"


def rule(name: str, remedy: str, *, note: bool = False) -> Callable[[Finder], Rule]:
    """Decorator that turns a function into a rule."""
    return lambda find: Rule(name, find, remedy, note)
