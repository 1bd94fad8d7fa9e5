"""Duplicates and near-duplicates, within a split and across splits (leakage)."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ..console import counted, progress, share
from .findings import FEW_WORDS, WORD, Entry, Finding, Severity
from .near_duplicates import near_pairs

WORTH_AN_ALARM = 0.01
"""Share of a split from which on leakage changes its score."""
WORTH_A_WARNING = 0.05
"""Share of a split from which on its duplicates change the score."""
NEAR_IS_WORTH_IT = 0.1
"""Share of a split from which on near-duplicates in train do; a few occur in any data."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A row and an earlier one with the same or nearly the same text."""

    row: Entry
    earlier: Entry
    exact: bool
    """Whether the texts are equal except for white space."""
    contradicts: bool
    """Whether the labels differ although they should not."""

    @property
    def places(self) -> str:
        """Both places, with the labels if they conflict."""
        if not self.contradicts:
            return f"{self.row.place} = {self.earlier.place}"
        answers = [_excerpt(*pair) for pair in (
            (self.row.summary.answer, self.earlier.summary.answer),
            (self.earlier.summary.answer, self.row.summary.answer),
        )]  # fmt: skip
        return f"{self.row.place} ({answers[0]}) = {self.earlier.place} ({answers[1]})"


def find_duplicates(entries: Sequence[Entry]) -> list[Duplicate]:
    """The exact duplicates of each row, one for each split up to its own; if there is none, a near-duplicate."""
    tolerance = _tolerance(entries)
    groups: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
    duplicates: list[Duplicate] = []
    with progress("looking for duplicates", len(entries)) as advance:
        for entry in entries:
            group = groups[entry.summary.key]
            found = [Duplicate(entry, other, True, _contradicts(entry, other, tolerance)) for other in group]
            chosen: dict[str, Duplicate] = {}
            for duplicate in sorted(found, key=lambda duplicate: not duplicate.contradicts):
                chosen.setdefault(duplicate.earlier.split, duplicate)
            duplicates += chosen.values()
            if all(duplicate.earlier.split != entry.split or duplicate.contradicts for duplicate in found):
                group.append(entry)
            advance(1)
    first = [group[0] for group in groups.values()]
    del groups  # the memory is needed
    for near in near_pairs([entry.summary.texts for entry in first]):
        entry, other = first[near.index], first[near.other]
        same_answer = _words(entry.summary.answer) == _words(other.summary.answer)
        if entry.summary.generates and not same_answer:
            continue  # texts that differ in an order number, which the reply repeats, are different examples
        # A number or a short word may change the label: only with all words equal is a different label an error.
        same_words = near.similarity == 1 and _words(entry.text) == _words(other.text)
        contradicts = same_words and not same_answer and _contradicts(entry, other, tolerance)
        duplicates.append(Duplicate(entry, other, False, contradicts))
    return duplicates


def duplicate_findings(entries: Sequence[Entry], duplicates: Sequence[Duplicate]) -> list[Finding]:
    """Findings about duplicates: leakage across splits, conflicting labels and repetitions within a split."""
    sizes: dict[str, int] = defaultdict(int)
    for entry in entries:
        sizes[entry.split] += 1
    findings: list[Finding] = []
    for earlier, later in combinations(sizes, 2):
        across = [one for one in duplicates if (one.earlier.split, one.row.split) == (earlier, later)]
        findings += _leakage(across, earlier, later, sizes[later])
    for split, size in sizes.items():
        within = [one for one in duplicates if one.earlier.split == one.row.split == split]
        findings += _repetitions(within, split, size)
    return findings


def _leakage(duplicates: Sequence[Duplicate], earlier: str, later: str, size: int) -> Iterator[Finding]:
    trained = earlier == "train"
    remedy = f"remove them from {earlier}" if trained else f"keep them in {earlier} or in {later}"
    other, same, near = _by_kind(duplicates)
    if other:
        message = f"{_rows(other, later)} also {_verb('occur', other)} in {earlier}, with a different label"
        yield _finding("leak-other-answer", "alarm", message, f"decide which label is correct, then {remedy}", other)
    if same:
        severity: Severity = "alarm" if trained and len(_long(same)) >= WORTH_AN_ALARM * size else "warning"
        effect = "leakage, their score measures memorization" if trained else "the two scores are not independent"
        message = f"{_rows(same, later, size)} also {_verb('occur', same)} in {earlier}: {effect}"
        yield _finding("leak", severity, message, remedy, same)
    if near:
        severity = "warning" if trained and len(near) >= NEAR_IS_WORTH_IT * size else "note"
        message = f"{_rows(near, later, size)} nearly {_verb('repeat', near)} a text of {earlier}"
        yield _finding("near-leak", severity, message, f"look at some; if they are copies, {remedy}", near)


def _repetitions(duplicates: Sequence[Duplicate], split: str, size: int) -> Iterator[Finding]:
    other, same, near = _by_kind(duplicates)
    if other:
        message = f"{_rows(other, split)} {_verb('repeat', other)} an earlier text with a different label"
        remedy = "correct the wrong label; if both are correct, add what tells the two apart to the text"
        yield _finding("contradiction", "warning", message, remedy, other)
    if same:
        severity: Severity = "warning" if len(_long(same)) >= WORTH_A_WARNING * size else "note"
        message = f"{_rows(same, split, size)} {_verb('repeat', same)} an earlier text"
        remedy = "keep one of each, unless they are as frequent in real use"
        yield _finding("duplicate", severity, message, remedy, same)
    if len(near) >= WORTH_AN_ALARM * size:
        message = f"{_rows(near, split, size)} nearly {_verb('repeat', near)} an earlier text"
        yield _finding("near-duplicate", "note", message, "look at some: near-duplicates overweight examples", near)


def _by_kind(duplicates: Sequence[Duplicate]) -> tuple[list[Duplicate], list[Duplicate], list[Duplicate]]:
    """Those with conflicting labels, the other exact ones, the other near ones."""
    return (
        [duplicate for duplicate in duplicates if duplicate.contradicts],
        [duplicate for duplicate in duplicates if duplicate.exact and not duplicate.contradicts],
        [duplicate for duplicate in duplicates if not duplicate.exact and not duplicate.contradicts],
    )


def _long(duplicates: Sequence[Duplicate]) -> list[Duplicate]:
    """Those with a text that is not short."""
    return [duplicate for duplicate in duplicates if not duplicate.row.is_short]


def _finding(kind: str, severity: Severity, message: str, remedy: str, duplicates: Sequence[Duplicate]) -> Finding:
    """A finding; places are those of short texts only if there are no others, and then it is a note."""
    long = _long(duplicates)
    places = [duplicate.places for duplicate in long or duplicates]
    return Finding(kind, severity if long else "note", duplicates[0].row.split, message, remedy, places)


def _rows(duplicates: Sequence[Duplicate], split: str, size: int = 0) -> str:
    """The number of rows, and of those with short texts."""
    long = len(_long(duplicates))
    short = len(duplicates) - long
    number = long or short
    part = f" ({share(number, size)})" if size else ""
    few = f"of fewer than {FEW_WORDS} words"
    beside = "" if not short else f", and {short:,} {few}," if long else f" {few}"
    return f"{counted(number, 'row')} of {split}{part}{beside}"


def _verb(verb: str, duplicates: Sequence[Duplicate]) -> str:
    return f"{verb}s" if len(duplicates) == 1 else verb


def _tolerance(entries: Sequence[Entry]) -> float:
    """Numbers that differ by less than this count as the same label: two annotators rarely agree exactly."""
    numbers = [entry.summary.number for entry in entries if entry.summary.number is not None]
    return float(np.std(numbers)) / 2 if numbers else 0.0


def _contradicts(one: Entry, other: Entry, tolerance: float) -> bool:
    a, b = one.summary, other.summary
    if a.generates or b.generates:  # a text has several correct translations
        return False
    if a.number is not None and b.number is not None:
        return abs(a.number - b.number) > tolerance
    return a.answer != b.answer


def _words(text: str) -> list[str]:
    """The words and numbers of a text, without case and punctuation."""
    return WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def _excerpt(answer: str, other: str, length: int = 40) -> str:
    """A long answer is shown from the first word that differs from the other one."""
    if len(answer) <= length:
        return answer
    words, others = answer.split(), other.split()
    same = next((i for i, pair in enumerate(zip(words, others, strict=False)) if pair[0] != pair[1]), 0)
    text = " ".join(words[same:])
    return ("… " if same else "") + (text if len(text) <= length else text[: length - 1] + "…")
