""".conll files: a token and its tag a line, a blank line between sentences."""

from collections.abc import Iterator
from pathlib import Path

from ...console import counted
from ...errors import UserError
from ..columns import Columns, Row, require_values
from .text import read_text


def read_conll(path: Path, columns: Columns) -> Iterator[Row]:
    """The sentences. The first column is the token and the last its tag, unless data.columns gives their positions."""
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


def _sentence(lines: list[list[str]], place: str, columns: Columns) -> Row:
    positions = {"tokens": 0, "tags": -1} if len(lines[0]) > 1 else {"tokens": 0}
    values = {}
    for name, default in positions.items():
        if name in columns.targets:
            continue
        position = (columns.renamed or {}).get(name, default)
        if not isinstance(position, int) or position >= len(lines[0]):
            raise UserError(
                f"{place}: data.columns.{name} is {position!r}, but a .conll line has columns "
                f"0 to {len(lines[0]) - 1}: give the number of one"
            )
        values[name] = [cells[position] for cells in lines]
    require_values(values, place, columns)
    return Row(place, values, lines)
