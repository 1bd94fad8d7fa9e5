"""Formats of a stream: how bytes are split into records, and how a record becomes a row."""

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..console import counted
from ..data.columns import Columns, OptionalColumns, Row, row_from_object
from ..data.readers.header import default_header
from ..data.readers.json import parse_json
from ..errors import UserError

SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".txt": "txt"}
FORMATS = ("jsonl", "csv", "tsv", "txt")
LONGEST = 16 * 2**20
"""Bytes of a line; a longer one is skipped."""
MOST_LINES = 100
"""Lines of one row of a .csv file; a quote that is not closed by then is a mistake in its first line."""
BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Item:
    """A record of the stream: a row, or the reason why it cannot be read."""

    place: str
    """`file:line` of its first line."""
    row: Row | None = None
    reason: str = ""
    content: bytes = b""
    """The record as it stands."""


@dataclass(frozen=True, slots=True)
class Schema:
    """What the rows of the stream hold."""

    columns: Columns
    row_of: Callable[[str, str | None], dict[str, Any]]
    """The columns of a plain text. Raises UserError where the task needs more than one."""


def format_of(path: Path, chosen: str | None) -> str:
    """The format of a file. Raises UserError for an unknown ending."""
    found = chosen or SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise UserError(f"{path}: unknown format '{path.suffix}': name it with --format {'|'.join(FORMATS)}")
    return found


@dataclass(slots=True)
class Progress:
    """How far an input has been read."""

    offset: int = 0
    """Bytes."""
    line: int = 0
    """Lines."""
    header: list[str] | None = None
    """Column names of a .csv or .tsv file."""
    inside: bool = False
    """Whether a line was skipped for its length, and its end has not come yet."""


@dataclass(slots=True)
class Records:
    """Splits bytes into records. A record is taken once it is complete."""

    name: str
    """Of the input, for messages."""
    form: str
    schema: Schema
    fill: Callable[[], bytes]
    """The next bytes of the input; empty where there are none at the moment."""
    progress: Progress = field(default_factory=Progress)
    _buffer: bytes = b""
    _start: int = 0

    @property
    def waiting(self) -> bool:
        """Whether something has been read that is no complete record."""
        return self._start < len(self._buffer)

    def read(self, limit: int, *, final: bool = False) -> list[Item]:
        """Up to `limit` complete records. With `final` the input has ended: its last line needs no line break."""
        items: list[Item] = []
        while len(items) < limit and (end := self._record_end(final)) is not None:
            items += self._items(self._buffer[self._start : end])
            self._start = end
        self._buffer, self._start = self._buffer[self._start :], 0
        return items

    def _record_end(self, final: bool) -> int | None:
        """Where the next record ends in the buffer; None if it is not complete yet."""
        first = end = self._line_end(self._start, final)
        if self.form != "csv":
            return end
        for _ in range(MOST_LINES):
            if end is None:
                return first if final else None
            if _is_closed(self._buffer[self._start : end]):
                return end
            end = self._line_end(end, final)
        return first

    def _line_end(self, start: int, final: bool) -> int | None:
        """Where the line ends that begins at `start`, or a piece of `LONGEST` bytes; None if it has no end yet."""
        end = self._buffer.find(b"\n", start) + 1
        while not end:
            size = len(self._buffer)
            if size - start >= LONGEST:
                return size
            if not (more := self.fill()):
                return size if final and size > start else None
            self._buffer += more
            end = self._buffer.find(b"\n", size) + 1
        return end

    def _items(self, content: bytes) -> Iterator[Item]:
        """The row of a record, or why there is none; nothing for a blank line or a header."""
        place, is_rest = f"{self.name}:{self.progress.line + 1}", self.progress.inside
        self.progress.offset += len(content)
        self.progress.line += content.count(b"\n")
        too_long = len(content) >= LONGEST
        self.progress.inside = (is_rest or too_long) and not content.endswith(b"\n")
        try:
            if is_rest:
                return
            if too_long:
                raise UserError(f"{place}: the line has more than {LONGEST // 2**20} MB: write one example a line")
            if row := self._row(content, place):
                yield Item(place, row, content=content)
        except UserError as error:
            yield Item(place, None, str(error).removeprefix(f"{place}: "), content)

    def _row(self, content: bytes, place: str) -> Row | None:
        try:
            text = content.decode().removeprefix(BOM).rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise UserError(f"{place}: byte 0x{content[error.start]:02x} is not UTF-8: save it in UTF-8") from error
        if not text.strip():
            return None
        if self.form == "txt":
            return self._from_text(text, place)
        value = parse_json(text, place) if self.form == "jsonl" else self._from_cells(text, place)
        if value is None and self.form != "jsonl":
            return None
        row = row_from_object(value, place, self.schema.columns)
        optional = OptionalColumns(self.schema.columns)
        optional.see(row)
        optional.check()
        return row

    def _from_text(self, text: str, place: str) -> Row:
        try:
            return Row(place, self.schema.row_of(text, None), {"text": text})
        except UserError as error:
            raise UserError(
                f"{place}: a line of a .txt file is one text, and the model needs more: use .jsonl or .csv"
            ) from error

    def _from_cells(self, text: str, place: str) -> dict[str, str] | None:
        try:
            cells = _cells(text, self.form)
        except csv.Error as error:
            raise UserError(f"{place}: this is not a row of .{self.form} ({error}): correct its quotes") from error
        if self.progress.header is None:
            columns = self.schema.columns
            self.progress.header = cells if columns.header else default_header(len(cells), columns)
            if columns.header:
                return None
        if len(cells) != len(self.progress.header):
            found = counted(len(cells), "column")
            raise UserError(f"{place}: {found} where the header has {len(self.progress.header)}: correct the row")
        return dict(zip(self.progress.header, cells, strict=True))


def _cells(text: str, form: str) -> list[str]:
    """The cells of a row. Those of .csv may be quoted; a stream of .tsv has its quotes as characters."""
    csv.field_size_limit(LONGEST)
    if form == "tsv":
        return text.split("\t")
    return next(csv.reader(io.StringIO(text, newline=""), strict=True))


def _is_closed(content: bytes) -> bool:
    """Whether no quoted cell is open at the end of these lines of a .csv file."""
    if b'"' not in content:
        return True
    try:
        _cells(content.decode(errors="replace"), "csv")
    except csv.Error as error:
        return "unexpected end of data" not in str(error)
    return True
