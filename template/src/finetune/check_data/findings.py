"""Rows and findings of a data check."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..tasks.results import Summary

Severity = Literal["alarm", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("alarm", "warning", "note")
"""alarm: a score would be wrong, or the training would be refused; warning: look at it; note: for information."""

FEW_WORDS = 4
"""Words: shorter texts ("Good morning") are often repeated, also with different labels."""

# Each Chinese or Japanese character counts as a word: these scripts have no spaces between words.
_UNSPACED = r"\u3040-\u30ff\u3400-\u9fff"
WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of a split."""

    split: str
    place: str
    """file:line"""
    summary: Summary

    @property
    def text(self) -> str:
        """All texts that the model reads."""
        return " ".join(self.summary.texts)

    @property
    def is_short(self) -> bool:
        """Whether the text has fewer than `FEW_WORDS` words."""
        words = WORD.finditer(self.text)
        return sum(1 for _ in zip(range(FEW_WORDS), words, strict=False)) < FEW_WORDS


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem of the data, with all places where it occurs."""

    kind: str
    """A stable name, for programs."""
    severity: Severity
    split: str
    """The split with the problem; of two splits, the later one."""
    message: str
    remedy: str
    places: list[str] = field(default_factory=list)
    """file:line of each; of a pair of rows, both."""


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """Sorted by severity, the most severe first (stable)."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def splits_of(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """The rows of each split, in the order of the splits."""
    splits: dict[str, list[Entry]] = {}
    for entry in entries:
        splits.setdefault(entry.split, []).append(entry)
    return splits
