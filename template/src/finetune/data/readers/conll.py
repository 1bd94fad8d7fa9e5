""".conll files: a word and its tag a line, a blank line between sentences; CoNLL-U and other columns as well.

Tabs divide the cells of a line, or blanks where it has no tab: no-break and ideographic spaces are a part of a word.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from ...console import counted, notice
from ...errors import UserError
from ..columns import Columns
from ..records import Record
from .text import read_text

ENDINGS = (".conll", ".conllu", ".bio", ".iob")
CONLL_U, FORM, UPOS = 10, 1, 3
"""Number of columns of CoNLL-U, and those of the words and their parts of speech."""
NO_WORD = re.compile(r"\d+[-.]\d+")
"""Number of a contraction (1-2), whose words follow, or of an empty node (1.1), in CoNLL-U."""
COMMENT = re.compile(r"#[^\S\t]*[^\s=]+ = |#(begin|end) document")
"""A comment of CoNLL-U, such as `# sent_id = 1`, or the border of a document in CoNLL-2012."""
LAYOUT_LINES = 1000
"""Most lines by which the columns are recognised."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence as it is written, so that predictions can be written beside its words."""

    start: int
    """Number of its first line in the file."""
    lines: list[str]
    """Its lines without line ends; comments and other lines that are no words are among them."""
    words: list[int]
    """The line of each word, an index of `lines`."""

    def line_of(self, word: int) -> int:
        """Number of the line of a word in the file."""
        return self.start + self.words[word]

    def with_cells(self, added: Sequence[Sequence[str]]) -> str:
        """The lines, with more cells behind those of each word, divided as they are."""
        cells = dict(zip(self.words, added, strict=True))
        none = ["_"] * len(added[0])  # as CoNLL-U writes that there is no value
        written = []
        for number, line in enumerate(self.lines):
            if number in cells or NO_WORD.match(line):
                line = ("\t" if "\t" in line else " ").join([line, *cells.get(number, none)])
            written.append(f"{line}\n")
        return "".join(written)


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a file."""

    width: int
    """Number of columns."""
    words: int
    """The column of the words."""
    tags: int
    """The column of the tags; that of the words if there is only one."""
    numbered: bool
    """Whether the first column numbers the words, as in CoNLL-U."""
    has_tabs: bool
    """Whether tabs divide the columns."""

    def cells(self, line: str, place: str) -> list[str] | None:
        """The cells of a line; None if it is no word. Raises UserError for another number of cells."""
        cells = _split(line)
        if line.startswith("#") and self._is_comment(line, len(cells)):
            return None
        if len(cells) != self.width:
            found = counted(len(cells), "column")
            raise UserError(f"{place}: {found} where the lines before have {self.width}: correct the line")
        return None if self.numbered and NO_WORD.fullmatch(cells[0]) else cells

    def _is_comment(self, line: str, width: int) -> bool:
        """Whether a line that begins with # is a comment; else # is a word or the start of one, such as #hashtag."""
        if "\t" not in line and (COMMENT.match(line) or (self.has_tabs and width > 1)):
            return True
        return width != self.width and (width > 1 or self.width in (0, CONLL_U))


def read_conll(path: Path, columns: Columns) -> Iterator[Record]:
    """The sentences. The first column is the word and the last its tag, unless data.columns gives their positions.

    If the first column numbers the words, the second is the word; the tag of CoNLL-U is UPOS. Raises UserError with
    file:line for a line with another number of columns than those before, or without a word or a tag.
    """
    layout = _layout(path)
    chosen = _chosen(path, columns, layout)
    lines: list[str] = []
    words: dict[int, list[str]] = {}
    for number, line in enumerate(chain(_lines(path), [""]), start=1):
        is_document = line.startswith("-DOCSTART-")
        if is_document or not line.strip():
            if words:
                yield _record(path, Sentence(number - len(lines), lines, [*words]), [*words.values()], chosen)
                lines, words = [], {}
            if lines or is_document:
                lines.append(line)
            continue
        cells = layout.cells(line, f"{path}:{number}")
        if cells is not None:
            for name, position in chosen.items():
                if not cells[position]:
                    raise UserError(f"{path}:{number}: column {position} ({name}) is empty: fill it in")
            words[len(lines)] = cells
        elif line.startswith("#") and not layout.numbered:
            notice(f"{path}: lines that begin with # and have not the columns of the words are read as comments")
        lines.append(line)


def _lines(path: Path) -> Iterator[str]:
    for line in read_text(path).split("\n"):
        yield line.removesuffix("\r")


def _split(line: str) -> list[str]:
    if "\t" in line:
        return [cell.strip(" ") for cell in line.split("\t")]
    return [cell for cell in line.split(" ") if cell]


def _layout(path: Path) -> Layout:
    """The columns by the first sentence of several words."""
    sentence: list[list[str]] = []
    has_tabs = False
    for number, line in enumerate(_lines(path)):
        if sentence and (number > LAYOUT_LINES or (len(sentence) > 1 and not line.strip())):
            break
        if line.strip() and not line.startswith(("#", "-DOCSTART-")):
            sentence.append(_split(line))
            has_tabs = has_tabs or "\t" in line
    if not sentence:  # comments, or words that begin with #
        sentence = [_split(next((line for line in _lines(path) if "\t" in line.strip()), ""))]
    width = len(sentence[0])
    counts = [cells[0] for cells in sentence if cells and not NO_WORD.fullmatch(cells[0])]
    numbered = width > 2 and len(counts) > 1 and counts == [str(number + 1) for number in range(len(counts))]
    filled = [position for position, cell in enumerate(sentence[0]) if cell]  # lines may end with a tab
    tags = UPOS if numbered and width == CONLL_U else max(filled, default=0)
    return Layout(width, FORM if numbered else 0, tags, numbered, has_tabs)


def _chosen(path: Path, columns: Columns, layout: Layout) -> dict[str, int]:
    """The position of each column that is read. Raises UserError if data.columns names another thing."""
    renamed = {name: position for name, position in (columns.renamed or {}).items() if name not in columns.targets}
    for name, position in renamed.items():
        if not (isinstance(position, int) and 0 <= position < layout.width):
            raise UserError(
                f"{path}: data.columns.{name} is {position!r}, but a line has columns 0 to {layout.width - 1}: "
                f"give the number of one"
            )
    found = {"tokens": layout.words}
    if layout.tags != layout.words and "tags" not in columns.targets:
        found["tags"] = layout.tags
    if layout.numbered and not renamed.keys() >= found.keys():
        names = ", ".join(f"{name}: {position}" for name, position in {**found, **renamed}.items())
        kind = "CoNLL-U" if layout.width == CONLL_U else "column 0 counts the words"
        notice(f"{path}: {kind}, read with data.columns: {{{names}}}")
    return {**found, **{name: position for name, position in renamed.items() if isinstance(position, int)}}


def _record(path: Path, sentence: Sentence, words: list[list[str]], chosen: dict[str, int]) -> Record:
    """The columns as lists of cells, in their order, so that data.columns finds them; those that are read by name."""
    values = {str(position): list(column) for position, column in enumerate(zip(*words, strict=True))}
    named = {name: values[str(position)] for name, position in chosen.items()}
    return Record(f"{path}:{sentence.line_of(0)}", {**values, **named}, sentence)
