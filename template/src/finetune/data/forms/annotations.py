"""Annotations of texts by doccano, Prodigy and spaCy: entities, and labels of whole texts."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ...errors import UserError
from .form import Form, Object

SHOWN = 80
"""Characters of a value that a message shows."""
PRODIGY, ANSWERS = ("_input_hash", "_task_hash"), ("accept", "reject", "ignore")
"""Keys that only Prodigy writes, and its values of `answer`."""
LIKELY = 0.5
"""Score above which a category of spaCy is a label."""
UNANNOTATED = "were not annotated"

Labelled = Callable[[Object, str], tuple[str, Any]]
"""Reads the text of an object and its label, or a list of labels; takes its place for errors."""


def text_in(value: Object) -> str | None:
    """The text of doccano, whose earlier versions call it data, Prodigy, spaCy and JSON-MIN; None if it has none."""
    found = value.get("text", value.get("data"))
    return found if isinstance(found, str) else None


def text_of(value: Object, place: str) -> str:
    """The same. Raises UserError if there is none."""
    found = text_in(value)
    if found is None:
        raise UserError(f"{place}: text is {shown(value.get('text'))}: write it as a string, as in the first examples")
    return found


def shown(value: Any) -> str:
    """The beginning of a value, for messages."""
    return repr(value)[:SHOWN]


def with_entities(tool: str, text: str, spans: Any, place: str) -> dict[str, Any]:
    """A text and its spans, [start, end, label] or objects, with the columns of the task; None stays None."""
    if spans is None:
        return {"text": text, "entities": None}
    if not isinstance(spans, list):
        raise UserError(
            f"{place}: {shown(spans)} is no list of spans, as the first examples of {tool} have: correct it"
        )
    return {"text": text, "entities": [_entity(tool, span, place) for span in spans]}


def one_label(read: Labelled, value: Object, place: str) -> dict[str, Any]:
    """A text and its label, with the columns of the task. Raises UserError if there are several."""
    text, labels = read(value, place)
    labels = labels if isinstance(labels, list) else [labels]
    if len(labels) > 1:
        raise UserError(
            f"{place}: the text has {len(labels)} labels, {shown(labels)}: set task.type to "
            f"multi-label-classification, or keep one"
        )
    return {"text": text, "label": labels[0] if labels else None}


def all_labels(read: Labelled, value: Object, place: str) -> dict[str, Any]:
    """A text and its labels, with the columns of the task."""
    text, labels = read(value, place)
    return {"text": text, "labels": labels if isinstance(labels, list) or labels is None else [labels]}


def _entity(tool: str, span: Any, place: str) -> dict[str, Any]:
    if isinstance(span, list) and len(span) >= 3:
        start, end, label, *_ = span
        return {"start": start, "end": end, "label": label}
    if isinstance(span, dict):
        for start, end in (("start", "end"), ("start_offset", "end_offset")):
            if {start, end, "label"} <= span.keys():
                return {"start": span[start], "end": span[end], "label": span["label"]}
    raise UserError(f"{place}: {shown(span)} is no span as {tool} writes it, with start, end and label: correct it")


def _is_spans(value: Any) -> bool:
    """Whether a value is a list of [start, end, label]."""
    return isinstance(value, list) and all(
        isinstance(span, list) and len(span) >= 3 and type(span[0]) is int and type(span[1]) is int for span in value
    )


def _has_offsets(value: Any) -> bool:
    """Whether a value is a list of spans as doccano writes them with relations."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, dict) and "start_offset" in one for one in value)
    )


def _has_text(value: Object) -> bool:
    """Whether there is a text to read entities in; given words with tags come first."""
    return text_in(value) is not None and not {"tokens", "tags"} <= value.keys()


def _doccano_spans(value: Object) -> Any:
    return next((value[key] for key in ("label", "labels", "entities") if key in value), None)


def _is_doccano_entities(value: Object) -> bool:
    if "entities" in value:
        return _has_text(value) and _has_offsets(value["entities"])
    return _has_text(value) and "spans" not in value and any(_is_spans(value.get(key)) for key in ("label", "labels"))


def _is_prodigy(value: Object) -> bool:
    return text_in(value) is not None and (value.get("answer") in ANSWERS or any(key in value for key in PRODIGY))


def _is_prodigy_entities(value: Object) -> bool:
    spans = value.get("spans", [])
    if not (isinstance(spans, list) and all(isinstance(span, dict) for span in spans)) or "entities" in value:
        return False
    return _has_text(value) and ("spans" in value or _is_prodigy(value))


def _is_spacy_entities(value: Object) -> bool:
    entities = value.get("entities")
    is_document = isinstance(value.get("ents"), list)
    return _has_text(value) and (is_document or (bool(entities) and _is_spans(entities)))


def _spacy_labels(value: Object, place: str) -> tuple[str, Any]:
    scores = value.get("cats")
    if not isinstance(scores, dict) or not all(isinstance(score, int | float) for score in scores.values()):
        raise UserError(f"{place}: cats is {shown(scores)}: write the score of each category, as in the first examples")
    return text_of(value, place), likely(scores)


def likely(scores: Mapping[str, float]) -> list[str]:
    """The categories of spaCy that hold."""
    return [label for label, score in scores.items() if score > LIKELY]


def _is_doccano_labels(value: Object) -> bool:
    is_numbered = "id" in value and "labels" not in value
    return is_numbered and text_in(value) is not None and isinstance(value.get("label"), list)


def _is_doccano_targets(value: Object) -> bool:
    """Whether a text has texts as labels, and no other text that could be meant."""
    found = value.get("label", value.get("labels"))
    others = [one for key, one in value.items() if key not in ("text", "data") and isinstance(one, str)]
    is_list = isinstance(found, list) and all(isinstance(one, str) for one in found)
    return text_in(value) is not None and is_list and not others


def _doccano_target(value: Object, place: str) -> dict[str, Any]:
    target = value.get("label", value.get("labels"))
    if isinstance(target, list):
        if len(target) > 1:
            raise UserError(f"{place}: the text has {len(target)} targets, {shown(target)}: keep one")
        target = target[0] if target else None
    return {"source": text_of(value, place), "target": target}


def _not_accepted(value: Object) -> bool:
    return bool(value.get("answer", "accept") != "accept")


def _label_forms(convert: Callable[[Labelled, Object, str], dict[str, Any]]) -> tuple[Form, ...]:
    """The forms of labels for a whole text, which `convert` turns into the columns of a task."""
    return (
        Form(
            "Prodigy",
            lambda value: _is_prodigy(value) and ("accept" in value or "label" in value),
            partial(convert, lambda value, place: (text_of(value, place), value.get("accept", value.get("label")))),
            rejects=_not_accepted,
            reason=NOT_ACCEPTED,
        ),
        Form("spaCy", lambda value: isinstance(value.get("cats"), dict), partial(convert, _spacy_labels)),
        Form(
            "doccano",
            _is_doccano_labels,
            partial(convert, lambda value, place: (text_of(value, place), value.get("label"))),
            rejects=lambda value: convert is one_label and value.get("label") == [],
            reason=UNANNOTATED,
        ),
    )


NOT_ACCEPTED = "were not accepted"
ENTITIES = (
    Form(
        "doccano",
        _is_doccano_entities,
        lambda value, place: with_entities("doccano", text_of(value, place), _doccano_spans(value), place),
    ),
    Form(
        "spaCy",
        _is_spacy_entities,
        lambda value, place: with_entities(
            "spaCy", text_of(value, place), value.get("ents", value.get("entities")), place
        ),
    ),
    Form(
        "Prodigy",
        _is_prodigy_entities,
        lambda value, place: with_entities("Prodigy", text_of(value, place), value.get("spans", []), place),
        rejects=_not_accepted,
        reason=NOT_ACCEPTED,
    ),
)
TARGETS = Form(
    "doccano",
    _is_doccano_targets,
    _doccano_target,
    rejects=lambda value: value.get("label", value.get("labels")) == [],
    reason=UNANNOTATED,
)
"""A text with the text to be generated."""
ONE_LABEL, ALL_LABELS = _label_forms(one_label), _label_forms(all_labels)
"""Forms of texts with one label, and with any number of them."""
