"""Examples that compare two texts: which of them say nothing, because the texts are equal."""

from collections.abc import Iterator, Sequence

from ..console import counted
from .findings import Entry, Finding, splits_of


def pair_findings(entries: Sequence[Entry]) -> Iterator[Finding]:
    """Pairs of equal replies in each split."""
    for split, some in splits_of(entries).items():
        if places := [entry.place for entry in some if entry.summary.undecided]:
            yield Finding(
                "equal-pair",
                "warning",
                split,
                f"{counted(len(places), 'row')} of {split} with the same text as chosen and rejected: nothing to learn",
                "correct the rows, or take them out",
                places,
            )
