"""Read data files into rows; every row knows its `file:line`, so that every error names the place.

The file ending chooses the reader. .jsonl, .json, .csv, .tsv, .xlsx and .parquet hold one example per row; .conll holds
one token per line, with a blank line between sentences; .txt is a single text. Text files may be compressed: .csv.gz.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from ..console import notice
from ..errors import UserError
from .columns import Columns, OptionalColumns, Row, check_columns, row_from_record
from .forms.all_forms import form_of
from .opening import compression_of, suffix_of
from .readers.conll import read_conll
from .readers.json import read_json, read_jsonl
from .readers.parquet import read_parquet
from .readers.table import read_table
from .readers.text import read_txt
from .readers.xlsx import read_xlsx
from .records import Record

__all__ = ["READERS", "Columns", "Row", "read_rows", "stream_rows"]

READERS: dict[str, Callable[[Path, Columns], Iterator[Record]]] = {
    ".jsonl": read_jsonl,
    ".json": read_json,
    ".csv": read_table,
    ".tsv": read_table,
    ".xlsx": read_xlsx,
    ".parquet": read_parquet,
    ".conll": read_conll,
    ".txt": read_txt,
}
BINARY = (".xlsx", ".parquet")
"""Formats that are compressed in themselves."""


def read_rows(path: Path, columns: Columns) -> list[Row]:
    """All examples of a file, in its order. Raises UserError as `stream_rows` does."""
    return list(stream_rows(path, columns))


def stream_rows(path: Path, columns: Columns) -> Iterator[Row]:
    """The examples of a file one after the other, in its order; the file is never held as a whole.

    Raises UserError with file:line for a missing file, a wrong encoding, a syntax error, a missing column or an empty
    file.
    """
    check_columns(columns)
    if not path.is_file():
        raise UserError(f"{path}: there is no such file (looked in {Path.cwd()}): correct the path")
    reader = READERS.get(suffix_of(path))
    if reader is None:
        raise UserError(f"{path}: unknown format '{path.suffix}': use one of {' '.join(READERS)}")
    if compression_of(path) and suffix_of(path) in BINARY:
        raise UserError(f"{path}: only text files are read in compressed form: decompress it first")
    records = reader(path, columns)
    first = next(records, None)
    if first is None:
        raise UserError(f"{path}:1: the file holds no examples: add at least one")
    form = form_of(columns.task, first.value)
    if form:
        notice(f"{path}: read as {form.name}")
    optional = OptionalColumns(columns)
    for record in chain([first], records):
        row = row_from_record(record, columns, form)
        optional.see(row)
        yield row
    optional.check()
