"""Rows that stand in the data twice: within a split, and across splits, where the score measures memory."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ..console import counted, share
from .findings import FEW_WORDS, WORD, Entry, Finding, Severity
from .near_duplicates import near_pairs

WORTH_AN_ALARM = 0.01
"""Share of a split from which on a leak moves its score."""
WORTH_A_WARNING = 0.05
"""Share of a split from which on rows that it has twice do."""
NEAR_IS_WORTH_IT = 0.1
"""Share of a split from which on near leaks do; some there are wherever people write alike."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A row and an earlier one of the same or nearly the same text."""

    row: Entry
    earlier: Entry
    exact: bool
    """Whether the texts are equal but for white space."""
    contradicts: bool
    """Whether the answers differ, where they should not."""

    @property
    def places(self) -> str:
        """Both places, and both answers where they differ."""
        if not self.contradicts:
            return f"{self.row.place} = {self.earlier.place}"
        answers = [_excerpt(*pair) for pair in (
            (self.row.summary.answer, self.earlier.summary.answer),
            (self.earlier.summary.answer, self.row.summary.answer),
        )]  # fmt: skip
        return f"{self.row.place} ({answers[0]}) = {self.earlier.place} ({answers[1]})"


def find_duplicates(entries: Sequence[Entry]) -> list[Duplicate]:
    """The exact twins of each row, one in each split up to its own; where it has none, a near one."""
    tolerance = _tolerance(entries)
    groups: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
    twins: list[Duplicate] = []
    for entry in entries:
        group = groups[tuple(_normal(text) for text in entry.summary.texts)]
        found = [Duplicate(entry, other, True, _contradicts(entry, other, tolerance)) for other in group]
        chosen: dict[str, Duplicate] = {}
        for twin in sorted(found, key=lambda twin: not twin.contradicts):
            chosen.setdefault(twin.earlier.split, twin)
        twins += chosen.values()
        if all(twin.earlier.split != entry.split or twin.contradicts for twin in found):
            group.append(entry)
    first = [group[0] for group in groups.values()]
    for near in near_pairs([entry.summary.texts for entry in first]):
        entry, other = first[near.index], first[near.other]
        same_answer = _words(entry.summary.answer) == _words(other.summary.answer)
        if entry.summary.generates and not same_answer:
            continue  # an order number that the reply has to repeat makes it another example
        # A figure or a small word may decide; only where all words are the same is another answer an error.
        same_words = near.similarity == 1 and _words(entry.text) == _words(other.text)
        contradicts = same_words and not same_answer and _contradicts(entry, other, tolerance)
        twins.append(Duplicate(entry, other, False, contradicts))
    return twins


def duplicate_findings(entries: Sequence[Entry], twins: Sequence[Duplicate]) -> list[Finding]:
    """What to say of twins: leaks from split to split, contradictions and repetitions within one."""
    sizes: dict[str, int] = defaultdict(int)
    for entry in entries:
        sizes[entry.split] += 1
    findings: list[Finding] = []
    for earlier, later in combinations(sizes, 2):
        across = [twin for twin in twins if (twin.earlier.split, twin.row.split) == (earlier, later)]
        findings += _leaks(across, earlier, later, sizes[later])
    for split, size in sizes.items():
        findings += _repetitions([twin for twin in twins if twin.earlier.split == twin.row.split == split], split, size)
    return findings


def _leaks(twins: Sequence[Duplicate], earlier: str, later: str, size: int) -> Iterator[Finding]:
    trained = earlier == "train"
    remedy = f"take them out of {earlier}" if trained else f"keep them in {earlier} or in {later}"
    other, same, near = _sorted_out(twins)
    if other:
        message = f"{_counted(other, later)} in {earlier} too, with another answer"
        yield _finding("leak-other-answer", "alarm", message, f"decide which answer is right, then {remedy}", other)
    if same:
        severity: Severity = "alarm" if trained and len(_long(same)) >= WORTH_AN_ALARM * size else "warning"
        effect = "their score measures memory" if trained else "the two scores are not independent"
        message = f"{_counted(same, later, size)} in {earlier} too: {effect}"
        yield _finding("leak", severity, message, remedy, same)
    if near:
        severity = "warning" if trained and len(near) >= NEAR_IS_WORTH_IT * size else "note"
        message = f"{_counted(near, later, size)} in {earlier} nearly word for word"
        yield _finding("near-leak", severity, message, f"look at some; if they are copies, {remedy}", near)


def _repetitions(twins: Sequence[Duplicate], split: str, size: int) -> Iterator[Finding]:
    other, same, near = _sorted_out(twins)
    if other:
        message = f"{_counted(other, split)} there before with another answer"
        remedy = "decide which answer is right; where both are, the text has to say more"
        yield _finding("contradiction", "warning", message, remedy, other)
    if same:
        severity: Severity = "warning" if len(_long(same)) >= WORTH_A_WARNING * size else "note"
        message = f"{_counted(same, split, size)} there before"
        remedy = "keep one of each, unless they are as frequent where the model will be used"
        yield _finding("duplicate", severity, message, remedy, same)
    if len(near) >= WORTH_AN_ALARM * size:
        message = f"{_counted(near, split, size)} there before nearly word for word"
        yield _finding("near-duplicate", "note", message, "look at some; a copy adds weight, but no knowledge", near)


def _sorted_out(twins: Sequence[Duplicate]) -> tuple[list[Duplicate], list[Duplicate], list[Duplicate]]:
    """Those with another answer, the exact ones with the same, the near ones."""
    return (
        [twin for twin in twins if twin.contradicts],
        [twin for twin in twins if twin.exact and not twin.contradicts],
        [twin for twin in twins if not twin.exact and not twin.contradicts],
    )


def _long(twins: Sequence[Duplicate]) -> list[Duplicate]:
    """Those from which something follows."""
    return [twin for twin in twins if not twin.row.is_short]


def _finding(kind: str, severity: Severity, message: str, remedy: str, twins: Sequence[Duplicate]) -> Finding:
    """Short texts are counted in the message, but shown only where there are no others, and then as a note."""
    long = _long(twins)
    places = [twin.places for twin in long or twins]
    return Finding(kind, severity if long else "note", twins[0].row.split, message, remedy, places)


def _counted(twins: Sequence[Duplicate], split: str, size: int = 0) -> str:
    """How many rows of a split stand somewhere else, the short ones apart."""
    long = len(_long(twins))
    short = len(twins) - long
    number = long or short
    part = f" ({share(number, size)})" if size else ""
    few = f"of fewer than {FEW_WORDS} words"
    beside = "" if not short else f", and {short:,} {few}," if long else f" {few}"
    return f"{counted(number, 'row')} of {split}{part}{beside} {'stands' if len(twins) == 1 else 'stand'}"


def _tolerance(entries: Sequence[Entry]) -> float:
    """Numbers nearer than this are taken for the same answer: two people never give quite the same score."""
    numbers = [entry.summary.number for entry in entries if entry.summary.number is not None]
    return float(np.std(numbers)) / 2 if numbers else 0.0


def _contradicts(one: Entry, other: Entry, tolerance: float) -> bool:
    a, b = one.summary, other.summary
    if a.generates or b.generates:  # a text has several good translations
        return False
    if a.number is not None and b.number is not None:
        return abs(a.number - b.number) > tolerance
    return a.answer != b.answer


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _words(text: str) -> list[str]:
    """All words, figures too, less case and punctuation."""
    return WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def _excerpt(answer: str, other: str, length: int = 40) -> str:
    """A long answer from where it differs from the other."""
    if len(answer) <= length:
        return answer
    words, others = answer.split(), other.split()
    same = next((i for i, pair in enumerate(zip(words, others, strict=False)) if pair[0] != pair[1]), 0)
    text = " ".join(words[same:])
    return ("… " if same else "") + (text if len(text) <= length else text[: length - 1] + "…")
