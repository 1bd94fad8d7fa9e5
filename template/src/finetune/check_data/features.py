"""Findings on the columns of `data.features`: missing values, columns that say nothing, categories that occur once."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from ..console import counted, share
from ..tasks.settings import FeatureKind
from .findings import Entry, Finding, splits_of

Cell = tuple[str, float | str | None]
"""The place of a row, and its value, None where it is missing."""


def feature_findings(features: Mapping[str, FeatureKind], entries: Sequence[Entry]) -> Iterator[Finding]:
    """Problems of each column, by the values of the training data."""
    for number, (name, kind) in enumerate(features.items()):
        splits = {
            split: [(entry.place, entry.summary.others[number]) for entry in some]
            for split, some in splits_of(entries).items()
        }
        yield from _missing(name, splits)
        yield from _constant(name, splits["train"])
        if kind == "category":
            yield from _rare(name, splits["train"])


def _missing(name: str, splits: Mapping[str, Sequence[Cell]]) -> Iterator[Finding]:
    """Rows without a value; a model learns what that means only where rows of train lack one, too."""
    is_known = any(value is None for _, value in splits["train"])
    for split, cells in splits.items():
        places = [place for place, value in cells if value is None]
        if len(places) == len(cells) and split == "train":
            message, remedy = f"no row of train has a value in '{name}': the training will refuse it", "take it out"
            yield Finding("empty-feature", "alarm", split, message, f"{remedy} of data.features", places)
        elif places:
            verb = "has" if len(places) == 1 else "have"
            found = f"{counted(len(places), 'row')} of {split} ({share(len(places), len(cells))}) {verb} no value in"
            message = f"{found} '{name}'" + ("" if is_known else ", but every row of train has one")
            remedy = "fine if rows of real use lack it as often" if is_known else "fill them in, as the rows of train"
            yield Finding("missing-feature", "note" if is_known else "warning", split, message, remedy, places)


def _constant(name: str, cells: Sequence[Cell]) -> Iterator[Finding]:
    values = {value for _, value in cells}
    if len(values) == 1 and None not in values:
        [value] = values
        shown = f"{value:g}" if isinstance(value, float) else f"'{value}'"
        message = f"'{name}' is {shown} in all rows of train: the model cannot learn from it"
        yield Finding("constant-feature", "warning", "train", message, "take it out of data.features")


def _rare(name: str, cells: Sequence[Cell]) -> Iterator[Finding]:
    counts = Counter(value for _, value in cells if value is not None)
    places = [f"{place} ({value})" for place, value in cells if value is not None and counts[value] == 1]
    if places:
        plural = "a value" if len(places) == 1 else f"{len(places):,} values"
        message = f"{plural} of '{name}' ({share(len(places), len(counts))}) in only one row of train: read as other"
        yield Finding("rare-category", "note", "train", message, "merge them with others if they matter", places)
