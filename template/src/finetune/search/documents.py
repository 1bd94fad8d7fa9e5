"""The documents of a corpus and the queries of a file: columns that a run's data have, or usual names of them."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..config.config import Data
from ..data.columns import Columns
from ..data.files import files_of
from ..data.rows import Row, stream_rows
from ..dataset import file_options
from ..errors import UserError
from ..tasks.texts import text_of


@dataclass(frozen=True, slots=True)
class Document:
    """A text of a corpus."""

    text: str
    place: str
    """`file:line`."""
    columns: dict[str, Any]
    """The other columns of its row."""


def one_file(source: Path) -> Path:
    """The path that one reader reads. Raises UserError where there is none, or where there are several."""
    path, *others = files_of([source])
    if others:
        raise UserError(f"{source}: names {len(others) + 1} files: put them into one, or name one of them")
    return path


def stream_documents(path: Path, data: Data) -> Iterator[Document]:
    """The documents of a corpus, in its order. Raises UserError with file:line for what cannot be read."""
    columns = _readable(path, data, [("document",)])
    for row in stream_rows(path, columns):
        cells = row.original if isinstance(row.original, dict) else {}
        source = columns.resolved(list(cells)).source("document")
        others = {name: value for number, (name, value) in enumerate(cells.items()) if source not in (name, number)}
        yield Document(text_of(row, "document"), row.place, others)


def read_queries(path: Path, data: Data) -> tuple[Columns, list[Row]]:
    """How the rows of a file with queries are read, and the rows; documents that answer them may be there as well."""
    columns = _readable(path, data, [("query", "document"), ("query",)])
    columns = replace(columns, required=("query",), optional=("document",))
    rows = list(stream_rows(path, columns))
    for row in rows:
        text_of(row, "query")
    return columns, rows


def _readable(path: Path, data: Data, choices: list[tuple[str, ...]]) -> Columns:
    """The first of the choices of columns in which the first row can be read: named as in the config, or as usual.

    Raises UserError, for the last choice, if there is none.
    """
    named = data.columns or {}
    tried = [
        Columns(required, renamed=renamed, header=data.header, file=file_options(data), task="retrieval")
        for required in choices
        for renamed in ({name: named[name] for name in required if name in named}, {})
    ]
    for columns in tried[:-1]:
        with suppress(UserError):
            next(stream_rows(path, columns), None)
            return columns
    return tried[-1]
