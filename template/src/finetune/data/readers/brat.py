"""Folders of brat: a .txt file for each document, and its annotations (standoff) in an .ann file of the same name."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import UserError
from ..columns import Columns
from ..records import Record
from .text import read_text

SPAN = re.compile(r"T\S*\t(\S+) (\d{1,9}) (\d{1,9})(?:\t(.*))?")
"""An entity: its number, type, start and end, and its text."""
PARTS = re.compile(r"T\S*\t\S+ \d+ \d+;")
"""An entity that has several parts."""
SHOWN = 80


def read_brat(path: Path, columns: Columns) -> Iterator[Record]:
    """The documents as texts with entities; relations, events, attributes and notes are not read.

    Raises UserError for a text or annotations without the other, and with file:line for an entity that cannot be read.
    """
    labelled = "entities" not in columns.targets
    texts = {file.with_suffix(""): file for file in sorted(path.rglob("*.txt"))}
    annotations = {file.with_suffix(""): file for file in sorted(path.rglob("*.ann"))}
    for name in annotations.keys() - texts.keys():
        raise UserError(f"{annotations[name]}: has no text beside it ({name.name}.txt): add it, or remove this file")
    for name, file in texts.items():
        text = read_text(file, columns.file)
        value: dict[str, Any] = {"file": file.relative_to(path).as_posix(), "text": text}
        if labelled and name not in annotations:
            raise UserError(f"{file}: has no annotations beside it ({name.name}.ann): add them, or remove this file")
        if name in annotations:
            value["entities"] = list(_entities(annotations[name], text)) if labelled else []
        if text.strip():
            yield Record(f"{file}:1", value)


def _entities(path: Path, text: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        line = line.rstrip("\r")
        if not line.startswith("T"):
            continue
        place, shown = f"{path}:{number}", line[:SHOWN]
        if PARTS.match(line):
            raise UserError(
                f"{place}: {shown!r} has several parts, but an entity is one span: annotate one, or several"
            )
        found = SPAN.fullmatch(line)
        if not found:
            raise UserError(f"{place}: {shown!r} is no entity as brat writes it, such as 'T1<tab>PER 0 5<tab>Alice'")
        label, start, end, written = found.group(1), int(found.group(2)), int(found.group(3)), found.group(4)
        if written is not None and text[start:end].split() != written.split():
            raise UserError(
                f"{place}: {start}-{end} is {text[start:end][:SHOWN]!r} in {path.stem}.txt and {written[:SHOWN]!r} "
                f"here: correct one of the files; offsets count characters"
            )
        yield {"start": start, "end": end, "label": label}
