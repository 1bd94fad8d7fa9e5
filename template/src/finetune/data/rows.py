"""Read data files into rows; every row knows its `file:line`, so that every error names the place.

The format chooses the reader. It is the file ending: .jsonl, .json, .csv, .tsv, .parquet, .arrow and .feather hold one
example per row; .conll holds one token per line, with a blank line between sentences; .txt is a single text. Other
formats have more than one file: folders of texts, and parallel text.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path

from ..console import notice
from ..errors import UserError
from .columns import Columns, OptionalColumns, Row, check_columns, resolve_columns, row_from_record
from .forms.all_forms import form_of
from .invalid import InvalidRows
from .readers.arrow import read_arrow, read_parquet
from .readers.conll import read_conll
from .readers.folder import read_folder
from .readers.json import read_json, read_jsonl
from .readers.parallel import read_parallel, sides_of
from .readers.table import read_table
from .readers.text import read_txt
from .records import Record

__all__ = ["READERS", "Columns", "Row", "read_rows", "reader_name", "stream_rows"]

READERS: dict[str, Callable[[Path, Columns], Iterator[Record]]] = {
    ".jsonl": read_jsonl,
    ".json": read_json,
    ".csv": partial(read_table, separator=","),
    ".tsv": partial(read_table, separator="\t"),
    ".parquet": read_parquet,
    ".arrow": read_arrow,
    ".feather": read_arrow,
    ".conll": read_conll,
    ".txt": read_txt,
    "folder": read_folder,
    "parallel": read_parallel,
}


def reader_name(path: Path) -> str:
    """The key of the reader of a file, a folder or parallel text: a file ending, or else a word."""
    if path.is_dir():
        return "brat" if any(path.glob("*.ann")) else "folder"
    return "parallel" if sides_of(path) and not path.is_file() else path.suffix.lower()


def read_rows(path: Path, columns: Columns) -> list[Row]:
    """All examples of a file, in its order. Raises UserError as `stream_rows` does."""
    return list(stream_rows(path, columns))


def stream_rows(path: Path, columns: Columns, invalid: InvalidRows | None = None) -> Iterator[Row]:
    """The examples of a file one after the other, in its order; the file is never held as a whole.

    Rows without a value that the task needs are left out where there is `invalid`, which notes them.
    Raises UserError with file:line for a missing file, a wrong encoding, a syntax error, a missing column or an empty
    file.
    """
    check_columns(columns)
    if not (path.exists() or sides_of(path)):
        raise UserError(f"{path}: there is no such file (looked in {Path.cwd()}): correct the path")
    reader = READERS.get(reader_name(path))
    if reader is None:
        endings = " ".join(name for name in READERS if name.startswith("."))
        raise UserError(f"{path}: unknown format '{reader_name(path)}': use one of {endings}")
    records = reader(path, columns)
    first = next(records, None)
    if first is None:
        raise UserError(f"{path}:1: the file holds no examples: add at least one")
    form = form_of(columns.task, first.value)
    if form:
        notice(f"{path}: read as {form.name}")
    else:
        columns = resolve_columns(columns, first.value, str(path))
    optional = OptionalColumns(columns)
    for record in chain([first], records):
        try:
            row = row_from_record(record, columns, form)
            optional.see(row)
        except UserError as error:
            if invalid is None:
                raise
            invalid.add(record.place, error)
        else:
            yield row
    optional.check()
