"""Plain text: .txt files."""

from collections.abc import Iterator
from pathlib import Path

from ...errors import UserError
from ..columns import Columns
from ..opening import DEFAULTS, FileOptions, open_text
from ..records import Record


def read_text(path: Path, options: FileOptions = DEFAULTS) -> str:
    """The file as text, without a byte order mark. Raises UserError as `open_text` does."""
    with open_text(path, options) as text:
        return text.read()


def read_txt(path: Path, columns: Columns) -> Iterator[Record]:
    """One row with the whole file, for tasks that train on running text."""
    text = read_text(path, columns.file)
    if columns.text_column != "text" or columns.text_targets:
        raise UserError(f"{path}: a .txt file is one text to continue, not examples of this task: use .jsonl or .csv")
    if text.strip():
        yield Record(f"{path}:1", {"text": text})
