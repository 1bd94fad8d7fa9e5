"""Read data files into rows that know their line, so that every complaint names file:line.

.jsonl .json .csv .tsv .parquet hold one example a row; .conll holds one word a line, sentences apart by a blank line;
.txt is one text as it stands.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..console import counted
from ..errors import UserError


@dataclass(frozen=True, slots=True)
class Row:
    """One example: where it stands (`file:line`), the task's columns, and everything that the file says of it."""

    place: str
    values: dict[str, Any]
    original: Any


@dataclass(frozen=True, slots=True)
class Columns:
    """How a task's names for columns map to those of a file.

    `required` and `optional` are the task's own names in their order; `whole` is a column that may stand for all the
    required ones; `renamed` is `data.columns` of the config.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    renamed: dict[str, str | int] | None = None
    header: bool = True
    whole: str | None = None

    def names(self) -> tuple[str, ...]:
        """All names, in the order that a file without a header has them."""
        return self.required[:1] + self.optional + self.required[1:] + ((self.whole,) if self.whole else ())

    def source(self, name: str) -> str | int:
        """The name or the position of a column in the file."""
        return (self.renamed or {}).get(name, name)


def read_rows(path: Path, columns: Columns) -> list[Row]:
    """All examples of a file, in its order.

    Raises UserError with file:line for a missing file, wrong encoding, bad syntax, a missing column and an empty file.
    """
    check_columns(columns)
    if not path.is_file():
        raise UserError(f"{path}: there is no such file (looked in {Path.cwd()}): correct the path in the config")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path}: unknown format '{path.suffix}': use one of {' '.join(READERS)}")
    rows = list(reader(path, columns))
    if not rows:
        raise UserError(f"{path}:1: the file holds no examples: add at least one")
    return rows


def check_columns(columns: Columns) -> None:
    """Refuse `data.columns` that name a column which the task does not have."""
    for name in columns.renamed or {}:
        if name not in columns.names():
            raise UserError(
                f"data.columns: the task has no column '{name}': its columns are {', '.join(columns.names())}"
            )


def read_text(path: Path) -> str:
    """The file as text. Raises UserError with the line of the first byte that is not UTF-8."""
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        byte = raw[error.start]
        raise UserError(
            f"{path}:{line}: byte 0x{byte:02x} is not UTF-8: save the file in the encoding UTF-8"
        ) from error


def _read_jsonl(path: Path, columns: Columns) -> Iterator[Row]:
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            yield _from_object(_parsed(line, f"{path}:{number}"), f"{path}:{number}", columns)


def _read_json(path: Path, columns: Columns) -> Iterator[Row]:
    """A list of objects, decoded one by one so that each knows its line."""
    text, decoder = read_text(path), json.JSONDecoder()
    position = _skip(text, 0, " \t\r\n")
    if text[position : position + 1] != "[":
        raise UserError(f"{path}:1: a .json file holds a list of objects: start it with [ or name it .jsonl")
    position = _skip(text, position + 1, " \t\r\n")
    while text[position : position + 1] != "]":
        place = f"{path}:{text.count(chr(10), 0, position) + 1}"
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}:{error.lineno}: this is not JSON ({error.msg}): correct the line") from error
        yield _from_object(value, place, columns)
        position = _skip(text, position, " \t\r\n,")


def _read_table(path: Path, columns: Columns, separator: str) -> Iterator[Row]:
    # csv quotes a cell that holds a separator; tsv has no quoting, so a lone " in a text does no harm.
    source = io.StringIO(read_text(path), newline="")
    if separator == ",":
        reader = csv.reader(source, delimiter=separator, strict=True)
    else:
        reader = csv.reader(source, delimiter=separator, quoting=csv.QUOTE_NONE)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(
                f"{path}:{line}: this is not a row of {path.suffix} ({error}): correct its quotes"
            ) from error
        if not cells:
            continue
        place = f"{path}:{line}"
        if header is None:
            header = cells if columns.header else _positional_header(len(cells), columns)
            _check_header(header, columns, place)
            if columns.header:
                continue
        if len(cells) != len(header):
            found = counted(len(cells), "column")
            raise UserError(f"{place}: {found} where the first line has {len(header)}: correct the row")
        yield _from_object(dict(zip(header, cells, strict=True)), place, columns)


def _read_csv(path: Path, columns: Columns) -> Iterator[Row]:
    return _read_table(path, columns, ",")


def _read_tsv(path: Path, columns: Columns) -> Iterator[Row]:
    return _read_table(path, columns, "\t")


def _read_parquet(path: Path, columns: Columns) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path}: cannot be read as parquet: write the file again") from error
    for number, values in enumerate(table.to_pylist(), start=1):
        yield _from_object(values, f"{path}: row {number}", columns)


def _read_conll(path: Path, columns: Columns) -> Iterator[Row]:
    """Columns apart by white space: the first is the word, the last its tag, unless data.columns says otherwise."""
    sentence: list[list[str]] = []
    start = width = 0
    for number, line in enumerate([*read_text(path).split("\n"), ""], start=1):
        cells = line.split()
        if not cells or cells[0] == "-DOCSTART-":
            if sentence:
                yield _sentence(sentence, f"{path}:{start}", columns)
            sentence = []
            continue
        width = width or len(cells)
        if len(cells) != width:
            found = counted(len(cells), "column")
            raise UserError(f"{path}:{number}: {found} where the lines before have {width}: correct the line")
        start = start if sentence else number
        sentence.append(cells)


def _read_txt(path: Path, columns: Columns) -> Iterator[Row]:
    text = read_text(path)
    if columns.whole != "text":
        raise UserError(f"{path}: a .txt file is one text to continue, not examples of this task: use .jsonl or .csv")
    if text.strip():
        yield Row(f"{path}:1", {"text": text}, {"text": text})


def _sentence(lines: list[list[str]], place: str, columns: Columns) -> Row:
    positions = {"tokens": 0, "tags": -1} if len(lines[0]) > 1 else {"tokens": 0}
    values = {}
    for name, default in positions.items():
        position = (columns.renamed or {}).get(name, default)
        if not isinstance(position, int) or position >= len(lines[0]):
            raise UserError(
                f"{place}: data.columns.{name} is {position!r}, but a .conll line has columns "
                f"0 to {len(lines[0]) - 1}: give the number of one"
            )
        values[name] = [cells[position] for cells in lines]
    _require(values, place, columns)
    return Row(place, values, lines)


def _parsed(line: str, place: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{place}: this is not JSON ({error.msg} at column {error.colno}): correct the line") from error


def _from_object(value: Any, place: str, columns: Columns) -> Row:
    if not isinstance(value, dict):
        shown = json.dumps(value, ensure_ascii=False)[:40]
        raise UserError(f"{place}: {shown} is not an example: write an object such as {{{_example(columns)}}}")
    cells = list(value.values())
    values = {}
    for name in columns.names():
        source = columns.source(name)
        if isinstance(source, int) and source < len(cells):
            values[name] = cells[source]
        elif source in value:
            values[name] = value[source]
    _require(values, place, columns)
    return Row(place, values, value)


def _require(values: dict[str, Any], place: str, columns: Columns) -> None:
    if columns.whole and values.get(columns.whole) is not None:
        return
    for name in columns.required:
        if values.get(name) is None:
            raise UserError(
                f"{place}: no value in column '{columns.source(name)}': fill it in, "
                f"or name the right column in data.columns.{name}"
            )


def _positional_header(width: int, columns: Columns) -> list[str]:
    """Names for a file without a header: the task's own, in their order, unless the config counts columns."""
    numbers = [str(index) for index in range(width)]
    if columns.renamed:
        return numbers
    known = columns.names() if width >= len(columns.names()) else columns.required
    return [*known, *numbers[len(known) :]][:width]


def _check_header(header: list[str], columns: Columns, place: str) -> None:
    if columns.whole and columns.source(columns.whole) in header:
        return
    for name in columns.required:
        source = columns.source(name)
        if source not in header and not (isinstance(source, int) and source < len(header)):
            raise UserError(
                f"{place}: no column '{source}' (found: {', '.join(header)}): name it in data.columns.{name}, "
                f"or set data.header to false if the first line is an example"
            )


def _example(columns: Columns) -> str:
    return ", ".join(f'"{columns.source(name)}": ...' for name in columns.required)


def _skip(text: str, position: int, characters: str) -> int:
    while position < len(text) and text[position] in characters:
        position += 1
    return position


READERS: dict[str, Callable[[Path, Columns], Iterator[Row]]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".parquet": _read_parquet,
    ".conll": _read_conll,
    ".txt": _read_txt,
}
