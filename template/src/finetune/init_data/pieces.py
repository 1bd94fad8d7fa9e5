"""The files of the splits: the rows as they stand in the input, in its format."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..data.columns import Row
from ..data.readers.conll import ENDINGS
from ..data.readers.text import read_text
from ..errors import UserError
from ..files import write_atomic


def contents_of(path: Path, rows: Sequence[Row], parts: Mapping[str, Sequence[int]]) -> dict[str, bytes]:
    """The content of a file for each split; `rows` are all of the input, `parts` the indices of those to write."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return {name: _parquet(path, chosen) for name, chosen in parts.items()}
    if suffix == ".txt":
        return {name: "".join(rows[row].values["text"] for row in chosen).encode() for name, chosen in parts.items()}
    if suffix == ".json":
        return {
            name: (json.dumps([rows[row].original for row in chosen], ensure_ascii=False, indent=1) + "\n").encode()
            for name, chosen in parts.items()
        }
    head, pieces = _lines_of(path, rows)
    return {name: (head + "".join(pieces[row] for row in chosen)).encode() for name, chosen in parts.items()}


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write files. Raises UserError if one exists with other content, before any is written."""
    for path, content in contents.items():
        if path.exists() and not (path.is_file() and path.read_bytes() == content):
            raise UserError(f"{path}: exists with other content: name another folder with --output, or delete it")
    for path, content in contents.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, content)
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror}): name another --output") from error


def text_pieces(path: Path) -> list[str]:
    """The paragraphs of a text, each with the blank lines after it; its lines, if it has no blank ones."""
    lines = read_text(path).splitlines(keepends=True)
    pieces: list[str] = []
    for number, line in enumerate(lines):
        if number and (not line.strip() or lines[number - 1].strip()):
            pieces[-1] += line
        else:
            pieces.append(line)
    return pieces if len(pieces) > 1 else lines


def _parquet(path: Path, chosen: Sequence[int]) -> bytes:
    import pyarrow.parquet

    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.parquet.read_table(path).take(list(chosen)), sink)
    return sink.getvalue()


def _lines_of(path: Path, rows: Sequence[Row]) -> tuple[str, list[str]]:
    """What stands before the first row, and the lines of each row."""
    suffix, text = path.suffix.lower(), read_text(path)
    # A line break of any kind ends a line of a table for the csv module, only \n elsewhere.
    lines = list(io.StringIO(text, newline="" if suffix in (".csv", ".tsv") else "\n"))
    starts = [int(row.place.rpartition(":")[2]) - 1 for row in rows]
    if suffix in ENDINGS:
        for number, start in enumerate(starts):
            while start and lines[start - 1].strip():  # comments above a sentence belong to it
                start -= 1
            starts[number] = start
    pieces = ["".join(lines[start:end]) for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]
    return "".join(lines[: starts[0]]), pieces
