"""A rule: a function that finds what is wrong in a project, with its name and remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ..fault import Fault, Violation
from ..project.project import Project

Finder = Callable[[Project], Iterable[Violation]]


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
