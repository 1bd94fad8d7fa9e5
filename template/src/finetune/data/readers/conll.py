""".conll files: a token and its tag a line, a blank line between sentences."""

from collections.abc import Iterator
from pathlib import Path

from ...console import counted
from ...errors import UserError
from ..columns import Columns
from ..records import Record
from .text import read_text


def read_conll(path: Path, columns: Columns) -> Iterator[Record]:
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


def _sentence(lines: list[list[str]], place: str, columns: Columns) -> Record:
    """The columns as lists of cells, named by their numbers, the first also tokens and the last tags."""
    names = [str(number) for number in range(len(lines[0]))]
    names[-1] = "tags"
    names[0] = "tokens"  # also of a single column
    for name, position in (columns.renamed or {}).items():
        if name not in columns.targets and not (isinstance(position, int) and position < len(names)):
            raise UserError(
                f"{place}: data.columns.{name} is {position!r}, but a .conll line has columns "
                f"0 to {len(names) - 1}: give the number of one"
            )
    return Record(place, dict(zip(names, map(list, zip(*lines, strict=True)), strict=True)), lines)
