""".csv and .tsv files, as Excel, LibreOffice, pandas and published datasets write them.

The separator is that of the ending unless the first rows say otherwise. Cells that begin with a quote are quoted: they
may hold separators, line breaks and doubled quotes. In a file with tabs, however, quotes may be ordinary characters, as
in GLUE; `_is_quoted` decides that by all of the file.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

from ...console import notice
from ...errors import UserError
from ...parsing import LONGEST
from ..columns import Columns
from ..opening import FileOptions, limited_lines, lines_of, open_text, suffix_of
from ..records import Record
from .header import by_name, column_names, fits, without_blank_end, without_trailing_blanks

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
OWN_SEPARATORS = {".csv": ",", ".tsv": "\t"}
SAMPLE = 2**20
"""Characters at the beginning of a file, and"""
SAMPLED_ROWS = 100
"""rows of them, by which its separator is found."""
DIRECTIVE = re.compile(r'"?sep=(?P<separator>.)"?\s*')
"""A first line that tells Excel the separator."""

csv.field_size_limit(LONGEST)


@dataclass(frozen=True, slots=True)
class TableForm:
    """How the cells of a table are written."""

    separator: str
    quoted: bool = True
    """Whether a quote at the beginning of a cell is none of its characters."""
    directive: bool = False
    """Whether a line with the separator, for Excel, stands before the header."""


def read_table(path: Path, columns: Columns) -> Iterator[Record]:
    """The rows below the header, if there is one; blank lines are skipped."""
    rows = without_blank_end(_rows(path, table_form(path, columns), columns.file))
    names: list[str] = []
    for line, cells in rows:
        place = f"{path}:{line}"
        if not names:
            names = column_names(cells, columns, place)
            if columns.header:
                continue
        record = by_name(names, cells, place)
        if record.error and any("\n" in cell for cell in cells):
            raise record.error  # perhaps for a quote that is not closed, so that the rows in between are cells
        yield record


def table_form(path: Path, columns: Columns) -> TableForm:
    """How the cells of a file are written. Raises UserError if the separator is not clear."""
    with open_text(path, columns.file) as text:
        sample = text.read(SAMPLE)
    first = sample.split("\n", 1)[0]
    if columns.file.separator is None and (told := DIRECTIVE.fullmatch(first)):
        return TableForm(told["separator"], directive=True)
    separator = columns.file.separator or _found_separator(path, sample, columns)
    return TableForm(separator, separator != "\t" or _is_quoted(path, sample, columns.file))


def _rows(path: Path, form: TableForm, options: FileOptions) -> Iterator[tuple[int, list[str]]]:
    """The number of the first line, and the cells, of each row that is no blank line."""
    with open_text(path, options) as text:
        lines = limited_lines(path, text)
        skipped = len(list(islice(lines, form.directive)))
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if form.quoted else csv.QUOTE_NONE
        reader = csv.reader(lines, delimiter=form.separator, quoting=quoting, strict=True)
        width = 0
        while True:
            line = skipped + reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise UserError(
                    f"{path}:{line}: this is not a row of {suffix_of(path)} ({error}): correct its quotes"
                ) from error
            width = width or len(cells)
            if cells and not (len(cells) == 1 < width and not cells[0].strip()):
                yield line, cells


def _found_separator(path: Path, sample: str, columns: Columns) -> str:
    """The separator under which the first rows fit the first of them, and this, where it can be, the task.

    That of the ending is preferred. Raises UserError where several others are possible.
    """
    own = OWN_SEPARATORS[suffix_of(path)]
    tried = {separator: _sample_rows(sample, separator) for separator in SEPARATORS}
    possible = {separator: rows for separator, rows in tried.items() if rows and len(rows[0]) > 1}
    agreeing = {separator: rows for separator, rows in possible.items() if all(fits(rows[0], row) for row in rows)}
    if columns.header:
        agreeing = {separator: rows for separator, rows in agreeing.items() if columns.are_in(rows[0])} or agreeing
    found = [*(agreeing or (possible if columns.header else {}))]
    if own in found or not found:
        return own
    if len(found) > 1:
        listed = " or ".join(SEPARATORS[separator] for separator in found)
        raise UserError(f"{path}:1: the cells may be separated by {listed}: set data.separator")
    notice(f"{path}: cells are separated by {SEPARATORS[found[0]]}: set data.separator if that is wrong")
    return found[0]


def _sample_rows(sample: str, separator: str) -> list[list[str]]:
    """The first rows under a separator, without empty cells at the end of the first.

    Of tabs those without quoting, if only these fit.
    """
    best: list[list[str]] = []
    quotings: list[Literal[0, 3]] = [csv.QUOTE_MINIMAL, csv.QUOTE_NONE] if separator == "\t" else [csv.QUOTE_MINIMAL]
    for quoting in quotings:
        reader = csv.reader(io.StringIO(sample, newline=""), delimiter=separator, quoting=quoting)
        rows = [row for row in islice(reader, SAMPLED_ROWS) if any(cell.strip() for cell in row)]
        if len(sample) == SAMPLE and len(rows) > 1:
            rows.pop()  # it may be cut
        if rows:
            rows[0] = without_trailing_blanks(rows[0])
            if not best or all(fits(rows[0], row) for row in rows):
                best = rows
    return best


def _is_quoted(path: Path, sample: str, options: FileOptions) -> bool:
    """Whether quotes at the beginning of cells of a file with tabs are those of a table program, and no characters.

    They are if all cells of the first row are quoted, as `finetune predict` does where it needs quotes; if the file
    reads as a table with them only; or either way, with as many rows. If it reads either way with different numbers of
    rows, they are characters: a cell with line breaks hardly ever has the tabs of a row in each of its lines.
    """
    if not any('"' in line for line in lines_of(path, options)):
        return True
    first = next(csv.reader(io.StringIO(sample, newline=""), delimiter="\t"), [])
    if sample.startswith("\t".join(f'"{quoted_text(cell)}"' for cell in first)):
        return True
    quoted, plain = (_readable(path, TableForm("\t", quoted), options) for quoted in (True, False))
    if quoted.whole and plain.whole:
        return quoted.rows == plain.rows or len(first) == 1
    return quoted >= plain


class _Readable(NamedTuple):
    """How much of a file reads as a table in a form."""

    whole: bool
    rows: int
    """Up to the first that does not fit."""


def _readable(path: Path, form: TableForm, options: FileOptions) -> _Readable:
    count, first = 0, [""]
    try:
        for _, cells in _rows(path, form, options):
            first = first if count else without_trailing_blanks(cells)
            if not fits(first, cells):
                return _Readable(False, count)
            count += 1
    except UserError:  # quotes that are not closed
        return _Readable(False, count)
    return _Readable(True, count)


def quoted_text(cell: str) -> str:
    """A cell as it stands between quotes."""
    return cell.replace('"', '""')
