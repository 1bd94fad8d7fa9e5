"""The columns of a table: names in its first row, or positions, and rows that must fit them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ...console import counted
from ...errors import UserError
from ..columns import Columns, require_columns
from ..records import Record


def column_names(cells: Sequence[str], columns: Columns, place: str) -> list[str]:
    """The names of the columns, from the cells of the first row; columns without a name at the end are left out.

    Raises UserError for a name that is there twice, a header that lacks a required column, and for one that was not
    expected.
    """
    if not columns.header:
        if columns.required and not columns.missing(cells):
            raise UserError(
                f"{place}: the first line has the names of the columns ({', '.join(cells)}), but data.header is false: "
                f"remove data.header"
            )
        return default_header(len(cells), columns)
    names = without_trailing_blanks(cells)
    empty = [index for index, name in enumerate(names) if not name.strip()]
    for index in empty[1:]:  # the first keeps its empty name: the row numbers that pandas writes
        names[index] = str(index)
    for name, number in Counter(names).items():
        if number > 1:
            raise UserError(
                f"{place}: two columns have the name '{name}': rename one of them, or set data.header to false if the "
                f"first line is an example"
            )
    require_columns(names, columns, place, header=True)
    return names


def default_header(width: int, columns: Columns) -> list[str]:
    """Column names for a file without a header: the task's own in their order, or numbers if data.columns is set."""
    numbers = [str(index) for index in range(width)]
    if columns.renamed:
        return numbers
    known: Sequence[str] = columns.required
    if columns.trained is not None:
        known = [name for name in columns.names() if name not in columns.optional or name in columns.trained]
    elif width >= len(columns.names()):
        known = columns.names()
    return [*known, *numbers[len(known) :]][:width]


def by_name(names: Sequence[str], cells: Sequence[str], place: str) -> Record:
    """A row by the names of its columns; one with more or fewer of them has an error."""
    if fits(names, cells):
        return Record(place, dict(zip(names, cells, strict=False)))
    found = counted(max(1, len(without_trailing_blanks(cells))), "column")
    error = UserError(f"{place}: {found} where the first line has {len(names)}: correct the row")
    return Record(place, None, error=error)


def fits(names: Sequence[str], cells: Sequence[str]) -> bool:
    """Whether a row has a cell for each column, and behind them, as Excel leaves them, only empty ones."""
    return len(cells) >= len(names) and not any(cell.strip() for cell in cells[len(names) :])


def without_blank_end(rows: Iterable[tuple[int, list[Any]]]) -> Iterator[tuple[int, list[Any]]]:
    """The numbered rows without those of empty cells at the end, as Excel leaves them; in between they are rows."""
    blank: list[tuple[int, list[Any]]] = []
    for row in rows:
        if len(row[1]) != 1 and all(cell is None or not str(cell).strip() for cell in row[1]):
            blank.append(row)
        else:
            yield from blank
            blank.clear()
            yield row


def without_trailing_blanks(cells: Sequence[str]) -> list[str]:
    """The cells up to the last that is not empty."""
    width = len(cells)
    while width and not cells[width - 1].strip():
        width -= 1
    return list(cells[:width])
