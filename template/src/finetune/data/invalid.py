"""Rows that a task cannot read, where these do not end the reading: counted, and the first of them kept."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..console import counted, notice
from ..errors import UserError
from .columns import Row

SHOWN = 3
"""Places that a notice names."""


@dataclass(slots=True)
class InvalidRows:
    """The invalid rows of a file: without text, without a label, with a value of the wrong type ..."""

    kept: int = SHOWN
    """How many of the errors are kept, with their places; the others are only counted."""
    count: int = 0
    errors: list[tuple[str, UserError]] = field(default_factory=list)

    @classmethod
    def all_kept(cls) -> "InvalidRows":
        """Invalid rows of which every error is kept."""
        return cls(sys.maxsize)

    def add(self, place: str, error: UserError) -> None:
        """Note an invalid row."""
        self.count += 1
        if len(self.errors) < self.kept:
            self.errors.append((place, error.with_traceback(None)))

    def accepts(self, row: Row, example: Callable[[Row], Any]) -> bool:
        """Whether the row is an example of a task; if not, it is noted."""
        try:
            example(row)
        except UserError as error:
            self.add(row.place, error)
            return False
        return True

    def report(self, source: str, valid: int) -> None:
        """Tell what was left out of a file. Raises the first error where no row is left."""
        if not self.errors:
            return
        place, first = self.errors[0]
        if not valid:
            raise first
        places = ", ".join(place for place, _ in self.errors[:SHOWN]) + (", ..." if self.count > SHOWN else "")
        reason = str(first).removeprefix(f"{place}: ")
        notice(
            f"{source}: {counted(self.count, 'invalid row')} left out, as data.skip_invalid is true: {places} "
            f"(the first: {reason})"
        )
