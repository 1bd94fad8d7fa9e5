"""All forms by the task that reads them."""

from collections.abc import Mapping

from .form import Form, Object

FORMS: Mapping[str, tuple[Form, ...]] = {}
"""The forms of each task, the most specific first."""


def form_of(task: str, value: object) -> Form | None:
    """The form of a file whose first example is `value`; None if it is the task's own or an unknown one."""
    if not isinstance(value, dict):
        return None
    first: Object = value
    return next((form for form in FORMS.get(task, ()) if form.matches(first)), None)
