""".xlsx files of Excel and LibreOffice."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from ...errors import UserError
from ..columns import Columns
from ..records import Record
from .header import by_name, column_names, without_blank_end

OLE = b"\xd0\xcf\x11\xe0"
"""The first bytes of .xls files, and of .xlsx files with a password."""
REMEDY = "open it in Excel or LibreOffice and save it as .xlsx without a password, or as .csv"


def read_xlsx(path: Path, columns: Columns) -> Iterator[Record]:
    """The rows below the header, if there is one, of a sheet; their places are the numbers that Excel shows.

    Cells become text, as in a .csv file: whole numbers without a point, dates in ISO 8601, formulas as their values.
    """
    with open_sheet(path, columns.file.sheet) as sheet:
        numbered = enumerate(sheet.iter_rows(values_only=True), start=1)
        rows = without_blank_end((number, [cell_text(value) for value in values]) for number, values in numbered)
        names: list[str] = []
        for number, cells in rows:
            place = f"{path}: row {number}"
            if not names:
                if not any(cells):
                    continue
                names = column_names(cells, columns, place)
                if columns.header:
                    continue
            yield Record(place, by_name(names, cells, place))


@contextmanager
def open_sheet(path: Path, name: str | None) -> Iterator[Any]:
    """A worksheet, read row by row. Raises UserError for a file that is none, and for a sheet that it lacks."""
    import openpyxl

    with path.open("rb") as file:
        if file.read(4) == OLE:
            raise UserError(f"{path}: is an old .xls file or has a password: {REMEDY}")
    try:
        workbook = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # openpyxl raises what its zip and XML parsers do
        raise UserError(f"{path}: cannot be read as .xlsx ({_reason(error)}): {REMEDY}") from error
    try:
        names = [sheet.title for sheet in workbook.worksheets]
        if not names or (name or names[0]) not in names:
            raise UserError(f"{path}: no sheet '{name}' (found: {', '.join(names)}): correct data.sheet")
        sheet = workbook[name or names[0]]
        sheet.reset_dimensions()  # those that are written in the file may be wrong
        yield sheet
    except (zipfile.BadZipFile, SyntaxError, KeyError, ValueError, EOFError) as error:
        raise UserError(f"{path}: cannot be read as .xlsx ({_reason(error)}): {REMEDY}") from error
    finally:
        workbook.close()


def cell_text(value: Any) -> str:
    """The value of a cell as text."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        case datetime() if value.time() == time():
            return value.date().isoformat()
        case datetime() | date() | time():
            return value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()
        case timedelta():
            return str(value)
    return str(value)


def _reason(error: Exception) -> str:
    return str(error).split("\n")[0] or type(error).__name__
