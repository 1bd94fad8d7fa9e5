"""Read data files into rows; every row knows its `file:line`, so that every error names the place.

The file ending chooses the reader. .jsonl, .json, .csv, .tsv and .parquet hold one example per row; .conll holds one
word per line, with a blank line between sentences; .txt is a single text.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

from ..console import notice
from ..errors import UserError
from .columns import Columns, OptionalColumns, Row, check_columns, row_from_record
from .forms.all_forms import accepted, recognised
from .readers.brat import read_brat
from .readers.conll import ENDINGS, read_conll
from .readers.json import read_json, read_jsonl
from .readers.parquet import read_parquet
from .readers.table import read_table
from .readers.text import read_txt
from .records import Record
from .word_rows import sentences

__all__ = ["READERS", "Columns", "Row", "read_rows", "stream_rows"]

READERS: dict[str, Callable[[Path, Columns], Iterator[Record]]] = {
    ".jsonl": read_jsonl,
    ".json": read_json,
    ".csv": partial(read_table, separator=","),
    ".tsv": partial(read_table, separator="\t"),
    ".parquet": read_parquet,
    **dict.fromkeys(ENDINGS, read_conll),
    ".txt": read_txt,
    "brat": read_brat,
}


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
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path}: unknown format '{path.suffix}': use one of {' '.join(READERS)}")
    records = reader(path, columns)
    first = next(records, None)
    if first is None:
        raise UserError(f"{path}:1: the file holds no examples: add at least one")
    form, records = recognised(columns.task, chain([first], records))
    if form:
        notice(f"{path}: read as {form.name}")
        columns = replace(columns, renamed=None)  # the form knows where its columns are
        records = records if columns.targets else accepted(form, str(path), records)
    optional = OptionalColumns(columns)
    for record in sentences(records, columns):
        row = row_from_record(record, columns, form)
        optional.see(row)
        yield row
    optional.check()
