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
    leaves_choice: bool = False
    """Whether `data.columns` may choose among the columns that it makes; if not, the form knows where they are."""
    rejects: Callable[[Object], bool] | None = None
    """Whether the tool says that an object is no example to learn from; such objects are left out and counted."""
    reason: str = ""
    """Why they are left out, in words."""
    is_said: bool = True
    """Whether a notice says that a file has this form; not where it is one of the task's documented ones."""


def unpaired(value: Any) -> Any:
    """The pairs of spaCy, [text, {"entities": ...}], as objects; other values as they are."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], dict):
        return {"text": value[0], **value[1]}
    return value
