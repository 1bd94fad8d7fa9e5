"""Findings on rows that the task cannot read, for which a training would be refused."""

from collections.abc import Iterator, Mapping, Sequence

from ..console import counted
from .findings import Finding


def invalid_findings(splits: Mapping[str, Sequence[str]], skipped: bool) -> Iterator[Finding]:
    """For each split its rows without a text, without a label, with a value of the wrong type ...

    `skipped`: whether `data.skip_invalid` is true, so that they are left out.
    """
    for name, sentences in splits.items():
        if sentences and skipped:
            message = f"{counted(len(sentences), 'row')} of {name} cannot be read and are left out"
            yield Finding("invalid", "warning", name, message, "correct them if they matter", [*sentences])
        elif sentences:
            message = f"{counted(len(sentences), 'row')} of {name} cannot be read: training refuses them"
            remedy = "correct them, or leave them out with data.skip_invalid: true"
            yield Finding("invalid", "alarm", name, message, remedy, [*sentences])
