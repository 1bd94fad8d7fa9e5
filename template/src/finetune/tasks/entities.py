"""Entities in plain text: spans of characters ↔ IOB2 tags of words.

Offsets count Unicode code points from 0, as Python does; the end is exclusive.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import regex

from ..errors import UserError
from .ner_tags import chunks

# Scripts in which words are not set apart by spaces; in Korean they are, but particles are attached to names.
BY_CHARACTER = "".join(
    rf"\p{{Script_Extensions={script}}}"
    for script in ("Han", "Hiragana", "Katakana", "Bopomofo", "Hangul", "Thai", "Lao", "Khmer", "Myanmar")
)
# \X is a grapheme cluster (UAX #29): a character with its combining marks, or an emoji with what modifies it.
WORD = regex.compile(
    rf"(?: (?=[[\p{{L}}\p{{N}}]--[{BY_CHARACTER}]]) \X )+ | (?=[^\s\p{{Cc}}\p{{Cf}}\p{{Cs}}]) \X",
    regex.VERBOSE | regex.VERSION1,
)
EXAMPLE = '{"start": 0, "end": 5, "label": "PER"}'
LONGEST_SHOWN = 40
"""Characters of a span that a message shows."""

Offsets = tuple[int, int]
"""Start and end of a word."""


class Entity(NamedTuple):
    """A span of a text, and its type."""

    start: int
    end: int
    label: str


class Spans(list[dict[str, Any]]):
    """Predicted entities. In a cell of a table they are JSON, also where there are none."""


class EntityError(UserError):
    """The entities of a row do not fit its text. The message names the first, `places` all of them."""

    def __init__(self, place: str, problems: Sequence[str]) -> None:
        super().__init__(f"{place}: {problems[0]}")
        self.places = [f"{place}: {problem}" for problem in problems]


def split_words(text: str) -> list[Offsets]:
    """The words of a text: letters and digits that touch; any other visible character is a word of its own.

    So is each character of a script without spaces between words, such as Chinese, Japanese or Thai, and of Korean.
    """
    return [match.span() for match in WORD.finditer(text)]


def read_entities(value: Any, text: str, words: Sequence[Offsets], place: str) -> list[Entity]:
    """The column `entities`, sorted by start; in .csv and .tsv it stands in one cell, as JSON.

    Raises UserError for another form, and EntityError where a span leaves the text, cuts a word or overlaps another.
    """
    try:
        value = json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError:
        value = None
    if not isinstance(value, list):
        raise UserError(f"{place}: entities must be a list such as [{EXAMPLE}], or [] where there are none")
    found = sorted(_entity(one, place) for one in value)
    if problems := [*_misplaced(found, text, words), *_overlaps(found)]:
        raise EntityError(place, problems)
    return found


def tags_of(entities: Sequence[Entity], words: Sequence[Offsets]) -> list[str]:
    """IOB2 tags of words, for entities that begin and end with a word and do not overlap."""
    opening = {entity.start: entity for entity in entities}
    tags, inside = [], Entity(0, 0, "")
    for start, _ in words:
        inside = opening.get(start, inside)
        prefix = "B" if start == inside.start else "I"
        tags.append(f"{prefix}-{inside.label}" if start < inside.end else "O")
    return tags


def entities_of(tags: Sequence[str], words: Sequence[Offsets]) -> list[Entity]:
    """The inverse of `tags_of`."""
    return [Entity(words[first][0], words[last][1], label) for first, last, label in chunks(tags)]


def bridge(tags: Sequence[str], words: Sequence[Offsets]) -> list[str]:
    """Predicted tags without gaps: an O that touches an entity, and is followed by I- of its type, is a part of it.

    A model that was trained on given words has learnt one tag for "J.", and none for a "." that touches a J.
    """
    found = list(tags)
    for number in range(1, len(tags) - 1):
        inside = f"I-{found[number - 1][2:]}"
        touches = words[number - 1][1] == words[number][0]
        if touches and found[number] == "O" != found[number - 1] and tags[number + 1] == inside:
            found[number] = inside
    return found


def _entity(value: Any, place: str) -> Entity:
    if not isinstance(value, dict):
        raise UserError(f"{place}: an entity is {value!r}: write it as an object, such as {EXAMPLE}")
    fields: dict[str, Any] = {**dict.fromkeys(Entity._fields), **value}
    start, end, label = (fields[name] for name in Entity._fields)
    for name, offset in (("start", start), ("end", end)):
        if type(offset) is not int:  # a bool is an int, too
            raise UserError(f"{place}: {name} of an entity is {offset!r}: write a whole number of characters")
    if not isinstance(label, str) or not label.strip():
        raise UserError(f"{place}: label of the entity {start}-{end} is {label!r}: write its type, such as PER")
    return Entity(start, end, label.strip())


def _misplaced(entities: Sequence[Entity], text: str, words: Sequence[Offsets]) -> Iterator[str]:
    """What is wrong with entities that do not begin and end with a word."""
    starts, ends = ({offsets[side] for offsets in words} for side in (0, 1))
    for start, end, label in entities:
        named = f"entity {start}-{end} ({label})"
        if not 0 <= start < end <= len(text):
            yield (
                f"{named} is no part of the text: start has to be below end, and both within 0 to {len(text)}, "
                f"the number of its characters"
            )
            continue
        if start in starts and end in ends:
            continue
        named = f"entity {start}-{end} {_shown(text[start:end])} ({label})"
        cut = next((word for word in words if any(word[0] < edge < word[1] for edge in (start, end))), None)
        if cut:
            yield f"{named} cuts the word {_shown(text[slice(*cut)])}, {cut[0]}-{cut[1]}: correct start and end"
        elif inside := [word for word in words if start <= word[0] and word[1] <= end]:
            right = f"{inside[0][0]}-{inside[-1][1]}"
            yield f"{named} begins or ends with white space: make it {right}"
        else:
            yield f"{named} holds no word: take it out"


def _overlaps(entities: Sequence[Entity]) -> Iterator[str]:
    for first, second in pairwise(entities):
        if second.start < first.end:
            named = " and ".join(f"{start}-{end} ({label})" for start, end, label in (first, second))
            yield f"entities {named} overlap, but a word has one tag: keep one of them"


def _shown(text: str) -> str:
    return repr(text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}...")
