"""All forms by the task that reads them."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from ...console import counted, notice
from ...errors import UserError
from ..records import Record
from .annotations import ALL_LABELS, ENTITIES, ONE_LABEL, TARGETS
from .dialogues import NAMES, dialogue_forms
from .form import Form, Object, unpaired
from .instructions import instruction_forms, to_columns, to_messages
from .label_studio import STUDIO_ALL_LABELS, STUDIO_ENTITIES, STUDIO_NUMBER, STUDIO_ONE_LABEL
from .preferences import preference_forms
from .spacy_training import TRAINING_ALL_LABELS, TRAINING_ENTITIES, TRAINING_ONE_LABEL
from .translations import TRANSLATIONS

SOURCE_TARGET = instruction_forms((("source",),), partial(to_columns, "source", "target"))

FORMS: Mapping[str, tuple[Form, ...]] = {
    "chat": (
        *preference_forms(),
        *dialogue_forms(),
        *instruction_forms(tuple((name,) for name in NAMES), to_messages),
    ),
    "multi-label-classification": (*STUDIO_ALL_LABELS, *ALL_LABELS, TRAINING_ALL_LABELS),
    "regression": STUDIO_NUMBER,
    "summarization": (TARGETS, *SOURCE_TARGET),
    "text-classification": (*STUDIO_ONE_LABEL, *ONE_LABEL, TRAINING_ONE_LABEL),
    "text-generation": instruction_forms(
        (("text",), ("prompt", "completion")), partial(to_columns, "prompt", "completion")
    ),
    "token-classification": (*STUDIO_ENTITIES, *ENTITIES, TRAINING_ENTITIES),
    "translation": (TRANSLATIONS, TARGETS, *SOURCE_TARGET),
}
"""The forms of each task, the most specific first."""
SAMPLE = 20
"""Examples by which a form is recognised: the first ones may have no annotation."""


def form_of(task: str, value: object) -> Form | None:
    """The form of a file with the example `value`; None if it is the task's own or an unknown one."""
    value = unpaired(value)
    if not isinstance(value, dict):
        return None
    first: Object = value
    form = next((form for form in FORMS.get(task, ()) if form.matches(first)), None)
    return form.bound(first) if form and form.bound else form


def recognised(task: str, values: Iterable[object]) -> Form | None:
    """The form of a file, by the first of some examples that has one."""
    return next((form for form in (form_of(task, value) for value in values) if form), None)


def accepted(form: Form, source: str, records: Iterator[Record]) -> Iterator[Record]:
    """The records that the tool does not reject; how many it does is said. Raises UserError if none is left."""
    left_out = kept = 0
    for record in records:
        if form.rejects and isinstance(record.value, dict) and form.rejects(record.value):
            left_out += 1
        else:
            kept += 1
            yield record
    if left_out:
        told = f"{source}: {counted(left_out, 'example')} left out, which {form.reason}"
        if not kept:
            raise UserError(f"{told}: none is left, so annotate some")
        notice(told)
