""".csv and .tsv files."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from ...console import counted
from ...errors import UserError
from ..columns import Columns
from ..records import Record
from .text import read_text


def read_table(path: Path, columns: Columns, separator: str) -> Iterator[Record]:
    """The rows below the header, if there is one; blank lines are skipped."""
    # Cells of a .csv file may be quoted; a .tsv file has no quoting, so a lone " in a text is an ordinary character.
    source = io.StringIO(read_text(path), newline="")
    if separator == ",":
        reader = csv.reader(source, delimiter=separator, strict=True)
    else:
        reader = csv.reader(source, delimiter=separator, quoting=csv.QUOTE_NONE)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(
                f"{path}:{line}: this is not a row of {path.suffix} ({error}): correct its quotes"
            ) from error
        if not cells:
            continue
        place = f"{path}:{line}"
        if header is None:
            header = cells if columns.header else default_header(len(cells), columns)
            _check_header(header, columns, place)
            if columns.header:
                continue
        if len(cells) != len(header):
            found = counted(len(cells), "column")
            raise UserError(f"{place}: {found} where the first line has {len(header)}: correct the row")
        yield Record(place, dict(zip(header, cells, strict=True)))


def default_header(width: int, columns: Columns) -> list[str]:
    """Column names for a file without a header: the task's own in their order, or numbers if data.columns is set."""
    numbers = [str(index) for index in range(width)]
    if columns.renamed:
        return numbers
    known = columns.names() if columns.trained or width >= len(columns.names()) else columns.required
    return [*known, *numbers[len(known) :]][:width]


def _check_header(header: list[str], columns: Columns, place: str) -> None:
    """Raise UserError if the header lacks a required column."""
    sources = {name: columns.source(name) for name in columns.names()}
    present = [name for name, source in sources.items() if source in header or isinstance(source, tuple)
               or (isinstance(source, int) and source < len(header))]  # fmt: skip
    for name in columns.missing([*present, "labels"]):  # which may stand in several columns, as the rows show
        raise UserError(
            f"{place}: no column '{sources[name]}' (found: {', '.join(header)}): name it in data.columns.{name}, "
            f"or set data.header to false if the first line is an example"
        )
