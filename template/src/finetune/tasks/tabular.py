"""Tabular features: numbers and categories of a row that are joined to its text (`data.features`).

Numbers are standardized by mean and standard deviation of the training data. Values of a category that are missing, or
seen only once in the training data, are one value, other; a value that the training data do not have is read as other,
or where they have no other, as the mean of all values by their shares.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..data.label_values import label_name
from ..data.missing import is_missing
from ..data.numbers import number_of
from ..data.rows import Row
from ..errors import UserError
from .settings import FeatureKind

Value = float | str | None
"""Of a number column a number, of a category a text; None where it is missing."""
Values = tuple[Value, ...]
"""Of a row, in the order of the columns."""

FEWEST = 2
"""Rows of the training data that a value of a category needs to be told from the others."""
MOST = 1000
"""Values of a category that are told from the others, the most frequent ones."""
UNKNOWN = -1.0
"""A value that the training data do not have, where they have no other either."""


class TabularFeatures:
    """The columns, and after `fit` what the training data say of them."""

    def __init__(self, kinds: Mapping[str, FeatureKind] | None = None) -> None:
        self._kinds = dict(kinds or {})
        self.columns: dict[str, dict[str, Any]] = {}
        """Of each column as JSON: its `type`; of a number `mean` and `deviation`; of a category `values`, in which null
        stands for other, and the `shares` of these values in the training data."""

    def __bool__(self) -> bool:
        return bool(self._kinds)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, in their order."""
        return (*self._kinds,)

    def read(self, row: Row) -> Values:
        """The values of a row. Raises UserError with file:line for one that is no number, or no word."""
        return tuple(_read(row, name, kind) for name, kind in self._kinds.items()) if self._kinds else ()

    def as_columns(self, values: Values) -> dict[str, Value]:
        """The inverse of `read`."""
        return dict(zip(self._kinds, values, strict=True))

    def fit(self, rows: Iterable[Values]) -> None:
        """Take the statistics of the training data. Raises UserError for a column without any value."""
        columns = zip(*rows, strict=True) if self else ()
        self.columns = {
            name: _statistics(name, kind, column)
            for (name, kind), column in zip(self._kinds.items(), columns, strict=True)
        }

    def load(self, columns: dict[str, dict[str, Any]]) -> None:
        """Take the statistics that were saved with a model."""
        self._kinds = {name: column["type"] for name, column in columns.items()}
        self.columns = columns

    def encode(self, values: Values) -> list[float]:
        """What the model reads: a standardized number, or nan; the position of a category in its `values`."""
        pairs = zip(self.columns.values(), values, strict=True)
        return [_encoded(column, value) for column, value in pairs]


def _read(row: Row, name: str, kind: FeatureKind) -> Value:
    value = row.values.get(name)
    if is_missing(value):
        return None
    if kind == "number":
        return number_of(value, row.place, f"column '{name}'")
    category = label_name(value)
    if category is None:
        raise UserError(f"{row.place}: column '{name}' is {value!r}: write one word or number, for it is a category")
    return category


def _statistics(name: str, kind: FeatureKind, column: Sequence[Any]) -> dict[str, Any]:
    known = [value for value in column if value is not None]
    if not known:
        raise UserError(f"data.features.{name}: no row of data.train has a value in this column: take it out")
    if kind == "number":
        mean = math.fsum(known) / len(known)
        deviation = math.sqrt(math.fsum((value - mean) * (value - mean) for value in known) / len(known))
        return {"type": kind, "mean": mean, "deviation": deviation or 1.0}
    counts = Counter(known)
    frequent = sorted(counts, key=lambda value: (-counts[value], value))[:MOST]
    values: list[str | None] = sorted(value for value in frequent if counts[value] >= FEWEST)
    others = len(column) - sum(counts[value] for value in values)
    if others:
        values.append(None)
    shares = [(others if value is None else counts[value]) / len(column) for value in values]
    return {"type": kind, "values": values, "shares": shares}


def _encoded(column: dict[str, Any], value: Value) -> float:
    if column["type"] == "number":
        return math.nan if value is None else (float(value) - column["mean"]) / column["deviation"]
    values = column["values"]
    return float(values.index(value if value in values else None)) if value in values or None in values else UNKNOWN
