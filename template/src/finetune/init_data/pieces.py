"""The files of the splits: the rows as they stand in the input, in its format."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..data.columns import Columns, Row
from ..data.opening import FileOptions, encoding_of, lines_of, suffix_of
from ..data.readers.conll import CONLL
from ..data.readers.json import kind_of
from ..data.readers.table import table_form
from ..data.readers.text import read_text
from ..data.writers import compressed, content_of
from ..errors import UserError
from ..files import write_atomic


def contents_of(
    path: Path, columns: Columns, rows: Sequence[Row], parts: Mapping[str, Sequence[int]]
) -> dict[str, bytes]:
    """The content of a file for each split; `rows` are all of the input, `parts` the indices of those to write."""
    if _is_in_lines(path, columns):
        head, pieces = _lines_of(path, columns, rows)
        texts = {name: head + "".join(pieces[row] for row in chosen) for name, chosen in parts.items()}
        contents = {name: text.encode(_encoding(path, columns.file)) for name, text in texts.items()}
    else:
        contents = {name: content_of(path, columns, [rows[row] for row in chosen]) for name, chosen in parts.items()}
    return {name: compressed(path, content) for name, content in contents.items()}


def _is_in_lines(path: Path, columns: Columns) -> bool:
    """Whether rows have lines of their own that mean the same in a file with fewer of them."""
    match suffix_of(path):
        case ".csv" | ".tsv":
            return table_form(path, columns).quoted
        case ".jsonl":
            return kind_of(path, columns) == "lines"
    return suffix_of(path) in (*CONLL, ".txt")


def _encoding(path: Path, options: FileOptions) -> str:
    """That of the input, or UTF-8 where it was only recognised: a small split may not have enough letters for that."""
    encoding = encoding_of(path, options)
    return encoding if options.encoding != "auto" or encoding.startswith("utf") else "utf-8-sig"


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


def text_pieces(path: Path, options: FileOptions) -> list[str]:
    """The paragraphs of a text, each with the blank lines after it; its lines, if it has no blank ones."""
    lines = read_text(path, options).splitlines(keepends=True)
    pieces: list[str] = []
    for number, line in enumerate(lines):
        if number and (not line.strip() or lines[number - 1].strip()):
            pieces[-1] += line
        else:
            pieces.append(line)
    return pieces if len(pieces) > 1 else lines


def _lines_of(path: Path, columns: Columns, rows: Sequence[Row]) -> tuple[str, list[str]]:
    """What stands before the first row, and the lines of each row."""
    suffix = suffix_of(path)
    if suffix == ".txt":
        return "", [row.values["text"] for row in rows]
    lines = list(lines_of(path, columns.file))
    starts = [int(row.place.rpartition(":")[2]) - 1 for row in rows]
    if suffix in CONLL:
        for number, start in enumerate(starts):
            while start and lines[start - 1].strip():  # comments above a sentence belong to it
                start -= 1
            starts[number] = start
    pieces = ["".join(lines[start:end]) for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]
    return "".join(lines[: starts[0]]), pieces
