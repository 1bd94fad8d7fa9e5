"""Rows as .jsonl in the columns of their file, to be corrected and trained on, with what the model says of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..data.columns import Columns
from ..data.rows import Row
from ..data.writers import Added, json_lines, renamed

Said = Mapping[str, str | float]
"""What the model says of a row: its prediction, and how sure or how wrong it is."""


def correctable(columns: Columns, rows: Sequence[Row], said: Sequence[Said]) -> bytes:
    """A line for each row: the columns of its file, then its place and what is said of it.

    Training reads the columns that it needs, and passes over the others.
    """
    added: Added = renamed(
        "the errors", rows, [{"place": row.place, **one} for row, one in zip(rows, said, strict=True)]
    )
    return json_lines({**columns_in_file(row, columns), **one} for row, one in zip(rows, added, strict=True))


def columns_in_file(row: Row, columns: Columns) -> dict[str, Any]:
    """The columns of a row by the names or positions under which `data.columns` finds them.

    A sentence of .conll has no names: its columns get those of the task, or stand at their positions.
    """
    if isinstance(row.original, dict):
        return row.original
    named = {columns.source(name): value for name, value in row.values.items() if value is not None}
    width = 1 + max((source for source in named if isinstance(source, int)), default=-1)
    by_position = {str(number): named.get(number) for number in range(width)}
    return by_position | {source: value for source, value in named.items() if isinstance(source, str)}
