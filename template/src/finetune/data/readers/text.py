"""Plain text: decoding of all text formats, and .txt files."""

from collections.abc import Iterator
from pathlib import Path

from ...errors import UserError
from ..columns import Columns
from ..records import Record


def read_text(path: Path) -> str:
    """The file as text, without a byte order mark.

    Raises UserError with the line of the first byte that is not UTF-8.
    """
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        byte = raw[error.start]
        raise UserError(
            f"{path}:{line}: byte 0x{byte:02x} is not UTF-8: save the file in the encoding UTF-8 (Excel: CSV UTF-8)"
        ) from error


def read_txt(path: Path, columns: Columns) -> Iterator[Record]:
    """One row with the whole file, for tasks that train on running text."""
    text = read_text(path)
    if columns.text_column != "text" or columns.text_targets:
        raise UserError(f"{path}: a .txt file is one text to continue, not examples of this task: use .jsonl or .csv")
    if text.strip():
        yield Record(f"{path}:1", {"text": text})
