"""What a reader yields: a value of a data file, with its place."""

from dataclasses import dataclass
from typing import Any

from ..errors import UserError


@dataclass(frozen=True, slots=True)
class Record:
    """One example of a data file, before its columns are mapped to those of the task."""

    place: str
    """`file:line` of its first line, for error messages."""
    value: Any
    """An object with the columns of the file; anything else is refused when the columns are mapped."""
    original: Any = None
    """As it is written in the file, where that is no object: the lines of a sentence in .conll."""
    error: UserError | None = None
    """Why the example cannot be read, although those behind it can; then there is no value."""
