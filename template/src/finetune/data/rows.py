"""Read data files into rows; every row knows its `file:line`, so that every error names the place.

The file ending chooses the reader. .jsonl, .json, .csv, .tsv and .parquet hold one example per row; .conll holds one
token per line, with a blank line between sentences; .txt is a single text.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ..errors import UserError
from .columns import Columns, Row, check_columns, check_optional_columns
from .readers.conll import read_conll
from .readers.json import read_json, read_jsonl
from .readers.parquet import read_parquet
from .readers.table import read_table
from .readers.text import read_txt

__all__ = ["READERS", "Columns", "Row", "read_rows"]

READERS: dict[str, Callable[[Path, Columns], Iterator[Row]]] = {
    ".jsonl": read_jsonl,
    ".json": read_json,
    ".csv": partial(read_table, separator=","),
    ".tsv": partial(read_table, separator="\t"),
    ".parquet": read_parquet,
    ".conll": read_conll,
    ".txt": read_txt,
}


def read_rows(path: Path, columns: Columns) -> list[Row]:
    """All examples of a file, in its order.

    Raises UserError with file:line for a missing file, a wrong encoding, a syntax error, a missing column or an empty
    file.
    """
    check_columns(columns)
    if not path.is_file():
        raise UserError(f"{path}: there is no such file (looked in {Path.cwd()}): correct the path")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path}: unknown format '{path.suffix}': use one of {' '.join(READERS)}")
    rows = list(reader(path, columns))
    if not rows:
        raise UserError(f"{path}:1: the file holds no examples: add at least one")
    check_optional_columns(rows, columns)
    return rows
