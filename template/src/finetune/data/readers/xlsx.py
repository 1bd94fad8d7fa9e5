""".xlsx files of Excel and LibreOffice."""

import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from itertools import dropwhile, pairwise
from pathlib import Path
from typing import Any

from ...console import notice
from ...errors import UserError
from ...parsing import most_bytes, parsed, parsing
from ..columns import Columns
from ..opening import open_bytes
from ..records import Record
from .header import by_name, column_names, without_blank_end

OLE = b"\xd0\xcf\x11\xe0"
"""The first bytes of .xls files, and of .xlsx files with a password."""
MOST_ROWS = 2**20
"""Rows of a sheet in Excel."""
ROW = re.compile(rb"<(?:\w+:)?row\s(?:[^<>]*?\s)?r=[\"'](\d+(?:\.\d*)?)[\"']")
"""The number of a row, in the XML of a sheet."""
REMEDY = "open it in Excel or LibreOffice and save it as .xlsx without a password, or as .csv"


def read_xlsx(path: Path, columns: Columns) -> Iterator[Record]:
    """The rows below the header, if there is one, of a sheet; their places are the numbers that Excel shows.

    Cells become text, as in a .csv file: whole numbers without a point, dates in ISO 8601, formulas as their values.
    """
    names: list[str] = []
    for number, values in sheet_rows(path, columns.file.sheet):
        place, cells = f"{path}: row {number}", [cell_text(value) for value in values]
        if not names:
            names = column_names(cells, columns, place)
            if columns.header:
                continue
        cells += [""] * (len(names) - len(cells))  # a row ends with its last value
        yield by_name(names, cells, place)


def sheet_rows(path: Path, name: str | None) -> Iterator[tuple[int, list[Any]]]:
    """The rows of a sheet, and their numbers, without empty ones at its beginning and its end.

    Raises UserError for a file that is no workbook, and for a sheet that it lacks.
    """
    with _open_sheet(path, name) as sheet:
        rows = enumerate(parsed(_cells(sheet), *_damaged(path)), start=1)
        yield from without_blank_end(dropwhile(lambda row: not row[1], _in_excel(path, rows)))


def _cells(sheet: Any) -> Iterator[list[Any]]:
    """The values of each row; none for an empty one. A cell of the type e has an error, such as #N/A, for a value."""
    for row in sheet.iter_rows():
        cells = [None if cell.data_type == "e" else cell.value for cell in row]
        yield cells if any(map(cell_text, cells)) else []


def _in_excel(path: Path, rows: Iterator[tuple[int, list[Any]]]) -> Iterator[tuple[int, list[Any]]]:
    for number, cells in rows:
        if number > MOST_ROWS:
            raise UserError(f"{path}: has more rows than the {MOST_ROWS:,} of a sheet: {REMEDY}")
        yield number, cells


@contextmanager
def _open_sheet(path: Path, name: str | None) -> Iterator[Any]:
    import openpyxl

    with open_bytes(path) as file:
        content = io.BytesIO(file.read())  # openpyxl leaves a file open where it raises
    if content.getvalue().startswith(OLE):
        raise UserError(f"{path}: is an old .xls file or has a password: {REMEDY}")
    with parsing(*_damaged(path)):
        with zipfile.ZipFile(content) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > most_bytes(path.stat().st_size):
            raise UserError(f"{path}: grows to {size:,} bytes when it is decompressed: save it as .csv")
        workbook = openpyxl.load_workbook(content, read_only=True, data_only=True)
    try:
        names = [sheet.title for sheet in workbook.worksheets]
        if not names or (name or names[0]) not in names:
            raise UserError(f"{path}: no sheet '{name or ''}' (found: {', '.join(names)}): correct data.sheet")
        if name is None and len(names) > 1:
            notice(f"{path}: read is the first of the sheets {', '.join(names)}: set data.sheet for another one")
        with parsing(*_damaged(path)):
            sheet = workbook[name or names[0]]
            sheet.reset_dimensions()  # those that the file tells may be wrong
            _require_ascending(path, sheet)
        yield sheet
    finally:
        workbook.close()


def _require_ascending(path: Path, sheet: Any) -> None:
    """Raise UserError for rows whose numbers do not ascend: openpyxl would leave them out in silence."""
    with sheet._get_source() as source:
        numbers = [float(number) for number in ROW.findall(source.read())]
    for before, number in pairwise(numbers):
        if number <= before:
            raise UserError(f"{path}: row {number:g} comes after row {before:g}, as in no sheet of Excel: {REMEDY}")


def _damaged(path: Path) -> tuple[str, str]:
    return f"{path}: cannot be read as .xlsx", REMEDY


def cell_text(value: Any) -> str:
    """The value of a cell as text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()  # as Excel writes it
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(sep=" ")
    return value.isoformat() if isinstance(value, date | time) else str(value)
