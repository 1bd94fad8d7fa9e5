"""Entities that do not fit the words, and tags that are invalid in their scheme.

A training refuses such entities; such tags are read as the nearest valid ones. Plain tags have no scheme.
"""

from collections.abc import Iterator, Sequence

from ..console import counted
from ..data.readers.conll import Sentence
from ..data.rows import Row
from ..tasks.ner_tags import is_plain
from ..tasks.token_classification import words_of
from .findings import Finding

Problem = tuple[int, str]
"""Position of a word, and what is wrong with its tag."""


def entity_findings(split: str, places: list[str]) -> Iterator[Finding]:
    """The entities of a split that leave their text, cut a word or overlap, each with its line."""
    if places:
        yield Finding(
            "misplaced-entities",
            "alarm",
            split,
            f"{counted(len(places), 'problem')} in {split} with the offsets of entities: the training will refuse it",
            "correct them; offsets count Unicode characters from 0, and the end is exclusive",
            places,
        )


def tag_findings(split: str, rows: Sequence[Row]) -> Iterator[Finding]:
    """The words of a split with invalid tags, each with its line."""
    tagged = [(row, words_of(row, "tags")) for row in rows if row.values.get("tags") is not None]
    rows = [row for row, tags in tagged if not is_plain(tags)]
    sentences = [tags for _, tags in tagged if not is_plain(tags)]
    scheme = scheme_of(sentences)
    places = [
        f"{_place(row, position)} {problem}"
        for row, tags in zip(rows, sentences, strict=True)
        for position, problem in illegal(tags, scheme)
    ]
    if places:
        yield Finding(
            "illegal-tags",
            "warning",
            split,
            f"{counted(len(places), 'invalid tag')} in {split} for {scheme}, the scheme of the other tags",
            "correct them: they are read as if an entity began or ended there",
            places,
        )


def scheme_of(sentences: Sequence[Sequence[str]]) -> str:
    """The tagging scheme: IOB1, IOB2, IOBES, BMES or BILOU, by the tags that begin an entity."""
    prefixes = {tag[0] for tags in sentences for tag in tags}
    if prefixes & set("ESLUMW"):
        return "BMES" if prefixes & set("MW") else "BILOU" if prefixes & set("LU") else "IOBES"
    opening = [tag[0] for tags in sentences for before, tag in _with_previous(tags) if before[2:] != tag[2:]]
    # In IOB1 an entity begins with I-, unless it directly follows another one of its type.
    return "IOB1" if opening.count("I") > opening.count("B") else "IOB2"


def illegal(tags: Sequence[str], scheme: str) -> Iterator[Problem]:
    """The words of a sentence with tags that are invalid in the scheme."""
    if scheme in ("IOB1", "IOB2"):
        for position, (before, tag) in enumerate(_with_previous(tags)):
            opens = before[2:] != tag[2:]  # O has no type
            if scheme == "IOB2" and tag[0] == "I" and opens:
                yield position, f"{tag} after {before}, where an entity has to begin with B-"
            elif scheme == "IOB1" and tag[0] == "B" and opens:
                yield position, f"{tag} after {before}, where an entity begins with I-"
        return
    last, only = {"BILOU": ("L", "U"), "IOBES": ("E", "S"), "BMES": ("E", "S or W")}[scheme]
    for position, (before, tag) in enumerate(_with_previous([*tags, "O"])):
        is_open = before[0] in "BIM"
        continues = tag[0] in ("I", "M", last)
        if is_open and not (continues and tag[2:] == before[2:]):
            yield position - 1, f"{before} before {tag}, where the entity has to continue or to end with {last}-"
        elif continues and not is_open:
            yield position, f"{tag} after {before}, where an entity has to begin with B- or {only}-"


def _with_previous(tags: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each tag with the previous one, O for the first."""
    return zip(["O", *tags[:-1]], tags, strict=True)


def _place(row: Row, position: int) -> str:
    """The line of a word in a .conll file, whose row has the line of the first word; else the number of the word."""
    if isinstance(row.original, Sentence):
        return f"{row.place.rpartition(':')[0]}:{row.original.line_of(position)}:"
    return f"{row.place}: word {position + 1}:"
