"""What a check of the data works on, and what it finds: rows with their place, findings with their remedy."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..tasks.results import Summary

Severity = Literal["alarm", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("alarm", "warning", "note")
"""alarm: a score would be wrong, or the training refused; warning: look at it; note: good to know."""

FEW_WORDS = 4
"""Shorter texts ("Good morning") come twice by nature, and with different meanings: little follows from it."""

# A Chinese or Japanese character counts for a word: nothing stands between words there.
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of a split."""

    split: str
    place: str
    """file:line"""
    summary: Summary

    @property
    def text(self) -> str:
        """All that the model reads."""
        return " ".join(self.summary.texts)

    @property
    def is_short(self) -> bool:
        """Whether the text has hardly any words."""
        words = WORD.finditer(self.text)
        return sum(1 for _ in zip(range(FEW_WORDS), words, strict=False)) < FEW_WORDS


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is amiss, as a sentence, with all the places where it is."""

    kind: str
    """A stable name, for programs."""
    severity: Severity
    split: str
    """The split that it concerns; of two, the later one."""
    message: str
    remedy: str
    places: list[str] = field(default_factory=list)
    """file:line of each; where two rows are concerned, both with what connects them."""


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """The most severe first; findings of one severity stay in their order."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def splits_of(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """The rows of each split, in the order of the splits."""
    splits: dict[str, list[Entry]] = {}
    for entry in entries:
        splits.setdefault(entry.split, []).append(entry)
    return splits
