"""Annotations of texts by Label Studio, in its formats JSON and JSON-MIN."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from ...console import notice
from ...errors import UserError
from .annotations import UNANNOTATED, Labelled, all_labels, one_label, shown, text_in, text_of, with_entities
from .form import Form, Object

TOOL = "Label Studio"
JSON_MIN = ("annotation_id", "annotator", "lead_time")
"""Keys that only JSON-MIN has."""
OTHERS = ("text", "id", "created_at", "updated_at", "agreement", "total_annotations", *JSON_MIN)
"""Keys of JSON-MIN that are no labels."""


def _is_studio(value: Object) -> bool:
    keys = ("annotations", "completions", "predictions")
    return isinstance(value.get("data"), dict) and any(isinstance(value.get(key), list) for key in keys)


def _annotations(value: Object) -> list[Mapping[str, Any]]:
    """The annotations that were not cancelled."""
    found = value.get("annotations", value.get("completions"))
    return [
        one
        for one in (found if isinstance(found, list) else [])
        if isinstance(one, dict) and not (one.get("was_cancelled") or one.get("skipped"))
    ]


def _results(value: Object, key: str) -> Iterator[Mapping[str, Any]]:
    """The values with `key` of the annotation that is marked as the ground truth, else of the first."""
    annotations = _annotations(value)
    if len(annotations) > 1:
        notice(f"{TOOL}: of several annotations of a task, the ground truth is read, or else the first")
    chosen = next((one for one in annotations if one.get("ground_truth")), annotations[0] if annotations else {})
    results = chosen.get("result")
    for result in results if isinstance(results, list) else []:
        found = result.get("value") if isinstance(result, dict) else None
        if isinstance(found, dict) and key in found:
            yield found


def _studio_text(value: Object, place: str) -> str:
    data = value.get("data")
    texts = {key: one for key, one in data.items() if isinstance(one, str)} if isinstance(data, dict) else {}
    if "text" in texts:
        return texts["text"]
    if len(texts) != 1:
        found = ", ".join(map(str, data)) if isinstance(data, dict) else shown(data)
        raise UserError(
            f"{place}: data of Label Studio has no text (found: {found}): rename the key of the text to text"
        )
    return next(iter(texts.values()))


def _studio_labels(value: Object, place: str) -> tuple[str, Any]:
    found = [label for one in _results(value, "choices") if _are_choices(one) for label in one["choices"]]
    found += [one[key] for key in ("rating", "number") for one in _results(value, key)]
    return _studio_text(value, place), found


def _studio_entities(value: Object, place: str) -> dict[str, Any]:
    text = _studio_text(value, place)
    return with_entities(TOOL, text, [_span(text, found, place) for found in _results(value, "labels")], place)


def _span(text: str, found: Mapping[str, Any], place: str) -> dict[str, Any]:
    """A span, whose offsets count UTF-16 code units, as in a browser, where they do not fit the text otherwise."""
    start, end, labels = found.get("start"), found.get("end"), found["labels"]
    if not (isinstance(labels, list) and len(labels) == 1):
        raise UserError(f"{place}: the span {start}-{end} has the labels {shown(labels)}: a word has one tag: keep one")
    written = found.get("text")
    if type(start) is int and type(end) is int and isinstance(written, str) and not _same(text[start:end], written):
        moved = _code_points(text, start), _code_points(text, end)
        if not _same(text[slice(*moved)], written):
            raise UserError(
                f"{place}: the span {start}-{end} is {shown(text[start:end])} in the text and {shown(written)} in the "
                f"annotation: correct one of them"
            )
        start, end = moved
    return {"start": start, "end": end, "label": labels[0]}


def _same(one: str, other: str) -> bool:
    return one.split() == other.replace("\\n", "\n").split()


def _code_points(text: str, units: int) -> int:
    """The offset in code points of one in UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")[: 2 * units].decode("utf-16-le", "ignore"))


def _min_key(value: Object, accepts: Callable[[Any], bool]) -> str | None:
    """The key of the labels in JSON-MIN, whose name is that of the labelling interface."""
    if text_in(value) is None or not any(key in value for key in JSON_MIN):
        return None
    keys = [key for key, one in value.items() if key not in OTHERS and accepts(one)]
    return keys[0] if len(keys) == 1 else None


def _are_spans(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) and "labels" in one for one in value)


def _are_choices(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("choices"), list)


def _min_entities(key: str, value: Object, place: str) -> dict[str, Any]:
    text, spans = text_of(value, place), value.get(key) or []
    if spans and not _are_spans(spans):
        raise UserError(f"{place}: {key} is {shown(spans)}: write a list of spans, as in the first examples")
    return with_entities(TOOL, text, [_span(text, span, place) for span in spans], place)


def _min_labels(key: str, value: Object, place: str) -> tuple[str, Any]:
    found = value.get(key)
    return text_of(value, place), found["choices"] if isinstance(found, dict) and _are_choices(found) else found


def _studio_form(convert: Callable[[Object, str], dict[str, Any]]) -> Form:
    return Form(TOOL, _is_studio, convert, rejects=lambda value: not _annotations(value), reason=UNANNOTATED)


def _min_form(accepts: Callable[[Any], bool], convert: Callable[[str, Object, str], dict[str, Any]]) -> Form:
    """JSON-MIN, whose key of the labels is that of the first example."""

    def bound(first: Object) -> Form:
        key = str(_min_key(first, accepts))
        return Form(f"{TOOL}'s JSON-MIN with the labels in '{key}'", lambda value: True, partial(convert, key))

    return Form(TOOL, lambda value: _min_key(value, accepts) is not None, partial(convert, ""), bound=bound)


def _label_forms(convert: Callable[[Labelled, Object, str], dict[str, Any]]) -> tuple[Form, ...]:
    """The forms of labels for a whole text, which `convert` turns into the columns of a task."""
    return (
        _studio_form(partial(convert, _studio_labels)),
        _min_form(_are_choices, lambda key, value, place: convert(partial(_min_labels, key), value, place)),
    )


STUDIO_ENTITIES = (_studio_form(_studio_entities), _min_form(_are_spans, _min_entities))
STUDIO_ONE_LABEL, STUDIO_ALL_LABELS = _label_forms(one_label), _label_forms(all_labels)
STUDIO_NUMBER = STUDIO_ONE_LABEL[:1]
"""A rating or a number for a text."""
