"""Parallel text: two files of which line n of the one belongs to line n of the other, named train.{en,de}."""

import re
from collections.abc import Iterator
from itertools import count, zip_longest
from pathlib import Path

from ...console import counted
from ...errors import UserError
from ..columns import Columns
from ..opening import lines_of
from ..records import Record

BRACES = re.compile(r"([^{}]*)\{([^{},]+),([^{},]+)\}([^{}]*)")


def sides_of(path: Path) -> dict[str, Path]:
    """The two files by what differs in their names; empty if the path names no such pair."""
    match = BRACES.fullmatch(str(path))
    if not match:
        return {}
    before, first, second, behind = match.groups()
    return {side.strip(): Path(f"{before}{side.strip()}{behind}") for side in (first, second)}


def read_parallel(path: Path, columns: Columns) -> Iterator[Record]:
    """The pairs of lines; those that are empty in both files are skipped.

    The first file has the task's first column and the second its second, unless data.columns names them: {source: de,
    target: en} for train.{en,de}, or by position, 0 and 1.
    """
    sides = sides_of(path)
    names = [*sides] if columns.renamed else columns.required[:2]
    if len(names) < 2:
        raise UserError(f"{path}: holds pairs of texts, and the task reads one column only: name a single file")
    lines = [_lines(file, columns) for file in sides.values()]
    for number, pair in zip(count(1), zip_longest(*lines)):
        if None in pair:
            numbers = [number - (line is None) + sum(1 for _ in rest) for line, rest in zip(pair, lines, strict=True)]
            told = " and ".join(
                f"{file} has {counted(lines_in, 'line')}"
                for file, lines_in in zip(sides.values(), numbers, strict=True)
            )
            raise UserError(f"{told}: line n of the one must belong to line n of the other, so correct the files")
        cells = [line if line.strip() else None for line in pair]
        if any(cells):
            place = next((file for file, cell in zip(sides.values(), cells, strict=True) if cell is None), None)
            file = place or next(iter(sides.values()))
            yield Record(f"{file}:{number}", dict(zip(names, cells, strict=True)))


def _lines(path: Path, columns: Columns) -> Iterator[str]:
    return (line.rstrip("\r\n") for line in lines_of(path, columns.file))
