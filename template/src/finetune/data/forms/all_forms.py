"""All forms by the task that reads them."""

from collections.abc import Mapping
from functools import partial

from .dialogues import NAMES, dialogue_forms
from .form import Form, Object
from .instructions import instruction_forms, to_columns, to_messages
from .translations import TRANSLATIONS

SOURCE_TARGET = instruction_forms((("source",),), partial(to_columns, "source", "target"))

FORMS: Mapping[str, tuple[Form, ...]] = {
    "chat": (*dialogue_forms(), *instruction_forms(tuple((name,) for name in NAMES), to_messages)),
    "text-generation": instruction_forms(
        (("text",), ("prompt", "completion")), partial(to_columns, "prompt", "completion")
    ),
    "translation": (TRANSLATIONS, *SOURCE_TARGET),
    "summarization": SOURCE_TARGET,
}
"""The forms of each task, the most specific first."""


def form_of(task: str, value: object) -> Form | None:
    """The form of a file whose first example is `value`; None if it is the task's own or an unknown one."""
    if not isinstance(value, dict):
        return None
    first: Object = value
    form = next((form for form in FORMS.get(task, ()) if form.matches(first)), None)
    return form.bound(first) if form and form.bound else form
