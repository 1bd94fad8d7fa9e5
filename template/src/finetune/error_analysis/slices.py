"""Slices: the main metric on parts of the data, by the values of a column or by the length of the text."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..data.missing import is_missing
from ..data.rows import Row
from ..dataset import LENGTH, cells_of
from ..parsing import shortened
from ..tasks.base import Task
from ..tasks.intervals import Array
from ..tasks.results import Table

MOST_VALUES = 8
"""Values of a column that are slices of their own, the most frequent ones."""
QUARTERS = (0.25, 0.5, 0.75)

Cells = list[str | int | float]
Names = list[str]
"""For each example the slice that it is in."""


def slice_table(
    task: Task[Any, Any], slices: Sequence[str], rows: Sequence[Row], examples: Sequence[Any], contributions: Array
) -> Table:
    """A line for each slice with its examples, the main metric and the 95 % interval of that: the worst first.

    `rows` has the row of each example, or the first of them, and `contributions` what each adds to the metric.
    """
    lines: list[Cells] = []
    for name in dict.fromkeys(slices):
        of_examples = by_length(task, examples) if name == LENGTH else by_value(name, rows)
        for value in dict.fromkeys(of_examples):
            chosen = contributions[[one == value for one in of_examples]]
            lines.append(_line(task, f"{name}: {value}", chosen))
    sign = 1 if task.settings.lower_is_better else -1
    lines.sort(key=lambda line: sign * float(line[2]), reverse=True)
    columns = ["slice", "examples", task.main_metric, "95 % from", "to"]
    return Table("Slices", columns, [_line(task, "all", contributions), *lines])


def by_value(name: str, rows: Sequence[Row]) -> Names:
    """The values of a column, beyond the most frequent ones as one slice."""
    values = [_shown(cells_of(row).get(name)) for row in rows]
    frequent = [value for value, _ in Counter(values).most_common(MOST_VALUES)]
    others = len({*values}) - len(frequent)
    if others <= 1:  # a single one needs no other name
        return values
    return [value if value in frequent else f"{others:,} other values" for value in values]


def by_length(task: Task[Any, Any], examples: Sequence[Any]) -> Names:
    """Quartiles of the characters of the input texts."""
    lengths = np.array([sum(map(len, task.summary(example).texts)) for example in examples])
    bounds = [
        int(lengths.min()) - 1,
        *sorted({*np.quantile(lengths, QUARTERS).astype(int).tolist(), int(lengths.max())}),
    ]
    places = np.searchsorted(bounds[1:], lengths)
    spans = [_span(low + 1, high) for low, high in pairwise(bounds)]
    return [spans[place] for place in places]


def _span(low: int, high: int) -> str:
    return f"{low:,} characters" if low == high else f"{low:,} to {high:,} characters"


def _line(task: Task[Any, Any], name: str, contributions: Array) -> Cells:
    value = float(task.headline(contributions.sum(0)))
    interval: Sequence[str | float] = task.interval(contributions, value) or ("", "")
    return [name, len(contributions), value, *interval]


def _shown(value: Any) -> str:
    if is_missing(value):
        return "no value"
    return shortened(", ".join(map(str, value)) if isinstance(value, list) else str(value))
