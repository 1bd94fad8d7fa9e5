"""The columns of a file: their values, and which of them are texts and labels by their names or by their values."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..console import counted
from ..data.missing import is_missing
from ..data.numbers import is_number, number_of
from ..data.rows import Row
from ..data.usual_names import LABELS, TEXTS, pairs_named, plain, usual_name

FEW_VALUES = 12
"""Different values up to which numbers may be classes, such as ratings, and words even if they are not repeated."""
FEW_WORDS = 4
"""Words up to which a text may be the name of a class."""


@dataclass(frozen=True)
class Column:
    """The values of a column, without empty cells."""

    name: str
    values: list[Any]

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each value occurs."""
        return Counter(str(value).strip() for value in self.values)

    @cached_property
    def is_text(self) -> bool:
        """Whether the values are strings that are no numbers."""
        return all(isinstance(value, str) for value in self.values) and not are_numbers(self.counts)

    @property
    def has_objects(self) -> bool:
        """Whether the values are lists of objects, such as entities."""
        return all(isinstance(value, list) and isinstance(value[0], dict) for value in self.values)

    @cached_property
    def words(self) -> float:
        """Mean number of words; of a text without blanks, such as Chinese, about two characters are a word."""
        return sum(max(len(text.split()), len(text.encode()) / 8) for text in self.counts) / len(self.counts)

    def described(self) -> str:
        """Type and number of the values, in words."""
        if not all(isinstance(value, str | int | float) for value in self.values):
            return "lists or objects"
        kind = "number" if are_numbers(self.counts) else "string"
        return f"{counted(len(self.counts), f'distinct {kind}')} in {counted(len(self.values), 'row')}"


def columns_of_file(rows: Sequence[Row]) -> dict[str, Column]:
    """The columns by name, without those that are empty in all rows."""
    names = dict.fromkeys(name for row in rows for name in row.original)
    values = {name: [row.original.get(name) for row in rows] for name in names}
    found = {name: [value for value in some if not is_missing(value)] for name, some in values.items()}
    return {name: Column(name, some) for name, some in found.items() if some}


def are_numbers(values: Iterable[str]) -> bool:
    """Whether all strings are finite numbers."""
    return all(map(is_number, values))


def are_classes(counts: Counter[str], usual_name: bool) -> bool:
    """Whether values may be classes: at least two, short, and repeated, or few in a column with a usual name."""
    if len(counts) < 2:
        return False
    repeated = 2 * len(counts) <= counts.total()
    if are_numbers(counts):
        whole = all(number_of(value, "", "").is_integer() for value in counts)
        return len(counts) <= FEW_VALUES or (whole and repeated)
    few = usual_name and len(counts) <= FEW_VALUES
    return (repeated or few) and sum(len(value.split()) for value in counts) <= FEW_WORDS * len(counts)


def named(columns: Mapping[str, Column], names: Sequence[str]) -> str | None:
    """The first column with one of these usual names, or else with one that ends in it."""
    for short in (plain, usual_name):
        known = {short(name): name for name in reversed(list(columns))}
        if found := next((known[name] for name in names if name in known), None):
            return found
    return None


def pair_named(columns: Mapping[str, Column], pairs: Sequence[tuple[str, str]]) -> list[str]:
    """The first two columns with such usual names; an empty list if there are none."""
    return next(([*pair] for pair in pairs_named(columns, pairs)), [])


def label_of(columns: Mapping[str, Column]) -> str | None:
    """The column of labels: one with a usual name, or else the only one with repeated values."""
    found = named(columns, LABELS)
    if found is None:
        classes = [name for name, column in columns.items() if are_classes(column.counts, usual_name=False)]
        found = classes[0] if len(classes) == 1 else None
    return found


def text_of_file(columns: Mapping[str, Column]) -> str | None:
    """The column of texts: one with a usual name, or else the one with by far the longest strings."""
    texts = {name: column for name, column in columns.items() if column.is_text}
    found = named(texts, TEXTS)
    if found is None:
        longest = sorted(texts, key=lambda name: -texts[name].words)
        if len(longest) == 1 or (longest and texts[longest[0]].words >= 3 * texts[longest[1]].words):
            found = longest[0]
    return found
