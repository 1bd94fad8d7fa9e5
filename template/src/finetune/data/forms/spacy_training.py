"""The JSON that spaCy 2 is trained on: documents of paragraphs, which have sentences of tokens, or entities."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ...errors import UserError
from ..records import Record
from .annotations import UNANNOTATED, Labelled, all_labels, likely, one_label, shown, text_of, with_entities
from .form import Form, Object

TOOL = "spaCy's training JSON"
MISSING = (None, "", "-")
"""Tags of tokens that nobody has annotated."""


def unpacked(records: Iterator[Record]) -> Iterator[Record]:
    """The records; of a document its paragraphs, each with the other members of the document."""
    for record in records:
        paragraphs = record.value.get("paragraphs") if isinstance(record.value, dict) else None
        if isinstance(paragraphs, list) and paragraphs and all(map(_is_paragraph, paragraphs)):
            document = {key: member for key, member in record.value.items() if key != "paragraphs"}
            for number, paragraph in enumerate(paragraphs, start=1):
                yield Record(f"{record.place}: paragraph {number}", {**document, **paragraph})
        else:
            yield record


def _is_paragraph(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    has_text = isinstance(value.get("raw"), str)
    return _tokens(value) != [] or (has_text and any(isinstance(value.get(key), list) for key in ("entities", "cats")))


def _tokens(value: Object) -> list[dict[str, Any]]:
    """The tokens of all sentences of a paragraph; empty if it has none, or something else among them."""
    sentences = value.get("sentences")
    if not isinstance(sentences, list) or not all(isinstance(one, dict) for one in sentences):
        return []
    parts = [one.get("tokens") for one in sentences]
    if not all(isinstance(part, list) for part in parts):
        return []
    tokens = [token for part in parts for token in part]
    return tokens if all(isinstance(token, dict) and isinstance(token.get("orth"), str) for token in tokens) else []


def _tags(value: Object) -> list[Any]:
    return [token.get("ner") for token in _tokens(value)]


def _tagged(value: Object, place: str) -> dict[str, Any]:
    """The tokens with their tags; where they have none, the text with its entities."""
    tags = _tags(value)
    if isinstance(value.get("raw"), str) and all(tag in MISSING for tag in tags):
        return with_entities(TOOL, value["raw"], value.get("entities"), place)
    tokens = [token["orth"] for token in _tokens(value)]
    return {"tokens": tokens, "tags": None if any(tag in MISSING for tag in tags) else tags}


def _is_untagged(value: Object) -> bool:
    return not value.get("entities") and bool(_tokens(value)) and all(tag in MISSING for tag in _tags(value))


def _categories(value: Object) -> dict[str, float] | None:
    """The score of each category; None if they are no list of these."""
    cats = value.get("cats")
    if not isinstance(cats, list) or not all(map(_is_category, cats)):
        return None
    return {one["label"]: one["value"] for one in cats}


def _is_category(value: Any) -> bool:
    is_object = isinstance(value, dict) and isinstance(value.get("label"), str)
    return is_object and isinstance(value.get("value"), int | float)


def _labels(value: Object, place: str) -> tuple[str, Any]:
    scores = _categories(value)
    if scores is None:
        found = shown(value.get("cats"))
        raise UserError(f"{place}: cats is {found}: write label and value of each category, as in the first examples")
    return text_of({"text": value.get("raw")}, place), likely(scores)


def _label_form(convert: Callable[[Labelled, Object, str], dict[str, Any]]) -> Form:
    return Form(TOOL, lambda value: _is_paragraph(value) and bool(_categories(value)), partial(convert, _labels))


TRAINING_ENTITIES = Form(TOOL, _is_paragraph, _tagged, rejects=_is_untagged, reason=UNANNOTATED)
TRAINING_ONE_LABEL, TRAINING_ALL_LABELS = _label_form(one_label), _label_form(all_labels)
