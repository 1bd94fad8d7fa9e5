"""Folders of .txt files: one text a file, whose label is the name of its folder."""

from collections.abc import Iterator
from pathlib import Path

from ...console import counted, notice
from ...errors import UserError
from ..columns import Columns
from ..records import Record
from .text import read_text

UNLABELLED = ("unsup", "unsupervised", "unlabeled", "unlabelled")
"""Folders of texts without a label, as in the reviews of aclImdb."""


def visible(folder: Path) -> list[Path]:
    """What is in a folder, by name, without what systems and programs keep there for themselves."""
    return sorted(path for path in folder.iterdir() if is_visible(path))


def is_visible(path: Path) -> bool:
    """Whether a file or folder is the user's own: not hidden, and not the lock of an open Excel file."""
    return not path.name.startswith((".", "~$")) and path.name.lower() not in ("thumbs.db", "desktop.ini")


def texts_in(folder: Path) -> list[Path]:
    """The .txt files of a folder, by name."""
    return [path for path in visible(folder) if path.suffix.lower() == ".txt" and path.is_file()]


def labels_in(folder: Path) -> list[Path]:
    """The folders with .txt files in a folder, by name."""
    return [path for path in visible(folder) if path.is_dir() and texts_in(path)]


def read_folder(path: Path, columns: Columns) -> Iterator[Record]:
    """The texts by label and name, or without labels where the files lie in the folder itself."""
    folders = labels_in(path)
    if not folders:
        for file in texts_in(path):
            yield Record(str(file), {"text": _text(file, columns), "file": file.name})
        return
    chosen = [folder for folder in folders if columns.targets or folder.name.lower() not in UNLABELLED]
    if not chosen:
        raise UserError(f"{path}: holds texts without a label only: put them into a folder for each label")
    names = ", ".join(folder.name for folder in chosen[:10]) + (", ..." if len(chosen) > 10 else "")
    notice(f"{path}: read as one text a file, with the name of its folder as the label ({names})")
    for folder in folders:
        if folder not in chosen:
            texts = counted(len(texts_in(folder)), "text")
            notice(f"{folder}: {texts} without a label left out: rename the folder if its name is a label")
    if beside := texts_in(path):
        notice(f"{path}: {counted(len(beside), '.txt file')} beside the folders of the labels are not read")
    for folder in chosen:
        for file in texts_in(folder):
            named = {"label": folder.name, "file": f"{folder.name}/{file.name}"}
            yield Record(str(file), {"text": _text(file, columns), **named})


def _text(file: Path, columns: Columns) -> str:
    return read_text(file, columns.file).rstrip("\r\n")
