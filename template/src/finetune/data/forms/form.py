"""A form of examples that is not the task's own, recognised by the first object of a file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Form:
    """How the objects of a known tool become objects with a task's own columns."""

    name: str
    """As messages name it, such as doccano."""
    matches: Callable[[Object], bool]
    """Whether an object has this form."""
    convert: Callable[[Object, str], dict[str, Any]]
    """An object, and its place for errors, with the task's own columns. Raises UserError where it cannot be read."""
    bound: "Callable[[Object], Form] | None" = None
    """Where the first object decides how all are read: the form for it."""
