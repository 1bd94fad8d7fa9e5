"""Read data files into rows; every row knows its `file:line`, so that every error names the place.

The format chooses the reader. It is the file ending: .jsonl, .json, .csv, .tsv, .xlsx, .parquet, .arrow and .feather
hold one example per row; .conll, .conllu, .bio and .iob hold one word per line, with a blank line between sentences;
.txt is a single text. Text files may be compressed: .csv.gz. Other formats have more than one file: folders of texts,
and parallel text.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

from ..console import notice
from ..errors import UserError
from .columns import Columns, OptionalColumns, Row, check_columns, resolve_columns, row_from_record
from .forms.all_forms import SAMPLE, accepted, recognised
from .forms.spacy_training import unpacked
from .invalid import InvalidRows
from .opening import compression_of, suffix_of
from .readers.arrow import read_arrow, read_parquet
from .readers.brat import read_brat
from .readers.conll import CONLL, read_conll
from .readers.folder import read_folder
from .readers.json import read_json, read_jsonl
from .readers.parallel import read_parallel, sides_of
from .readers.table import read_table
from .readers.text import read_txt
from .readers.xlsx import read_xlsx
from .records import Record
from .word_rows import sentences

__all__ = ["READERS", "Columns", "Row", "fingerprint", "read_rows", "reader_name", "stream_rows"]

READERS: dict[str, Callable[[Path, Columns], Iterator[Record]]] = {
    ".jsonl": read_jsonl,
    ".json": read_json,
    ".csv": read_table,
    ".tsv": read_table,
    ".xlsx": read_xlsx,
    ".parquet": read_parquet,
    ".arrow": read_arrow,
    ".feather": read_arrow,
    **dict.fromkeys(CONLL, read_conll),
    ".txt": read_txt,
    "brat": read_brat,
    "folder": read_folder,
    "parallel": read_parallel,
}
BINARY = (".xlsx", ".parquet", ".arrow", ".feather")
"""Formats that are compressed in themselves."""


def fingerprint(rows: Iterable[Row], targets: Iterable[str]) -> str:
    """SHA-256 of rows as they are written in their files, and of their target columns.

    Equal only for the same rows in the same order with the same targets, whatever else a task reads of them.
    """
    digest, targets = hashlib.sha256(), [*targets]
    for row in rows:
        content = [row.original, *(row.values.get(name) for name in targets)]
        line = json.dumps(content, ensure_ascii=False, sort_keys=True, default=str)
        digest.update(f"{line}\n".encode(errors="surrogatepass"))
    return digest.hexdigest()


def reader_name(path: Path) -> str:
    """The key of the reader of a file, a folder or parallel text: a file ending, or else a word."""
    if path.is_dir():
        return "brat" if any(path.glob("*.ann")) else "folder"
    return "parallel" if sides_of(path) and not path.is_file() else suffix_of(path)


def no_such_file(path: Path) -> UserError:
    """The error of a file that is not there."""
    return UserError(f"{path}: there is no such file (looked in {Path.cwd()}): correct the path")


def read_rows(path: Path, columns: Columns) -> list[Row]:
    """All examples of a file, in its order. Raises UserError as `stream_rows` does."""
    return list(stream_rows(path, columns))


def stream_rows(path: Path, columns: Columns, invalid: InvalidRows | None = None) -> Iterator[Row]:
    """The examples of a file one after the other, in its order; the file is never held as a whole.

    Rows that cannot be read, or lack a value that the task needs, are left out where there is `invalid`, which notes
    them.
    Raises UserError with file:line for a missing file, a wrong encoding, a syntax error, a missing column or an empty
    file.
    """
    check_columns(columns)
    if not (path.exists() or sides_of(path)):
        raise no_such_file(path)
    reader = READERS.get(reader_name(path))
    if reader is None:
        endings = " ".join(name for name in READERS if name.startswith("."))
        raise UserError(f"{path}: unknown format '{reader_name(path)}': use one of {endings}")
    if compression_of(path) and reader_name(path) in BINARY:
        raise UserError(f"{path}: only text files are read in compressed form: decompress it first")
    records = unpacked(reader(path, columns))
    sample = list(islice(records, SAMPLE))
    if not sample:
        raise UserError(f"{path}:1: the file holds no examples: add at least one")
    values = [record.value for record in sample if record.error is None]
    records = chain(sample, records)
    if form := recognised(columns.task, values):
        if form.is_said:
            notice(f"{path}: read as {form.name}")
        columns = columns if form.leaves_choice else replace(columns, renamed=None)
        records = records if columns.targets else accepted(form, str(path), records)
    else:
        columns = resolve_columns(columns, values[0] if values else None, str(path))
    optional = OptionalColumns(columns)
    for record in sentences(records, columns):
        try:
            if record.error:
                raise record.error
            row = row_from_record(record, columns, form)
            optional.see(row)
        except UserError as error:
            if invalid is None:
                raise
            invalid.add(record.place, error)
        else:
            yield row
    optional.check()
