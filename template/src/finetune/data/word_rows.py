"""Tables with one word a row, put together to sentences: by a column that names them, or by blank lines."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice, pairwise
from typing import Any

from ..console import notice
from ..errors import UserError
from .cells import list_in_cell
from .columns import Columns, Row, Source
from .missing import is_null
from .records import Record
from .usual_names import plain

USUAL = ("sentence", "sentenceid", "sentenceno", "sentencenumber", "sentenceidx", "sentid", "sentenceindex", "sid")
"""Usual names of a column of sentences, without case, blanks and punctuation."""
SAMPLE, LONGEST = 20, 1000
"""Rows by which a table of words is recognised, and those among which it must have a blank line."""


class WordRows(dict[str, list[Any]]):
    """The rows of a sentence, one word each: every column as a list."""

    def __init__(self, records: Sequence[Record]) -> None:
        names = dict.fromkeys(name for record in records for name in record.value)
        super().__init__({name: [record.value.get(name) for record in records] for name in names})
        self.places = [record.place for record in records]


def sentences(records: Iterator[Record], columns: Columns) -> Iterator[Record]:
    """The records; where each is a word, those of a sentence as one, for tasks that have `columns.grouped_by`.

    Raises UserError for a table of words that does not tell where a sentence ends.
    """
    if not columns.grouped_by:
        return records
    first = list(islice(records, SAMPLE))
    column: Source | None = (columns.renamed or {}).get(columns.grouped_by)
    if column is not None and _has_lists(first, columns):
        return chain(first, records)  # a sentence a row already, as `finetune errors` writes them
    if column is None:
        if not _is_of_words(first, columns):
            return chain(first, records)
        first = [*map(_readable, chain(first, islice(records, LONGEST)))]
        usual = [name for name in first[0].value if plain(name) in USUAL]
        setting = f"data.columns.{columns.grouped_by}"
        if usual:
            column = usual[0]
            notice(
                f"{first[0].place}: one word a row; column '{column}' tells the sentences apart: {setting} sets another"
            )
        elif any(_begins_after_blank_line(*pair) for pair in pairwise(first)):
            notice(
                f"{first[0].place}: one word a row, and blank lines between sentences: {setting} names a column instead"
            )
        else:
            raise UserError(
                f"{first[0].place}: every row holds a single word: name the column that tells the sentences apart in "
                f"{setting}, or leave a blank line between sentences"
            )
    return _grouped(map(_readable, chain(first, records)), columns, column)


def by_word(rows: Sequence[Row], records: Sequence[dict[str, Any]]) -> Iterator[tuple[Row, dict[str, Any]]]:
    """Rows and the records predicted for them, those of a table of words with a row for each word again."""
    for row, record in zip(rows, records, strict=True):
        if not isinstance(row.original, WordRows):
            yield row, record
            continue
        cells = zip(*row.original.values(), strict=True)
        predicted = zip(*record.values(), strict=True)
        for place, word, answer in zip(row.original.places, cells, predicted, strict=True):
            original = dict(zip(row.original, word, strict=True))
            yield Row(place, row.values, original), dict(zip(record, answer, strict=True))


def blank_line_between(place: str, cells: Mapping[str, Any], following: str) -> bool:
    """Whether there is a blank line between a row of a text file, with its cells, and the place of the following."""
    lines = [re.search(r":(\d+)$", one) for one in (place, following)]
    if lines[0] is None or lines[1] is None:
        return False
    own = 1 + sum(str(cell).count("\n") for cell in cells.values())
    return int(lines[1].group(1)) - int(lines[0].group(1)) > own


def _readable(record: Record) -> Record:
    """Raise the error of a row, if it has one: without it, the sentence would be another one."""
    if record.error:
        raise record.error
    return record


def _has_lists(records: Sequence[Record], columns: Columns) -> bool:
    """Whether the words are lists, so that every row is a sentence."""
    cells = [_cells(record, columns) for record in records if record.error is None]
    return any(isinstance(value, list) for one in cells for value in one.values())


def _is_of_words(records: Sequence[Record], columns: Columns) -> bool:
    """Whether there are several rows, and all of them a word and perhaps its tag."""
    cells = [_cells(record, columns) for record in records if record.error is None]
    return len(cells) > 1 and all(one and all(map(_is_word, one.values())) for one in cells)


def _is_word(cell: Any) -> bool:
    return isinstance(cell, str) and len(cell.split(" ")) == 1 and list_in_cell(cell) is None


def _cells(record: Record, columns: Columns) -> dict[str, Any]:
    """The word and the tag of a row; empty if it has no word."""
    if not isinstance(record.value, dict):
        return {}
    names = [name for name in columns.required if name not in columns.targets]
    cells = {name: _cell(record.value, columns.source(name)) for name in names}
    return {} if cells[columns.required[0]] is None else cells


def _cell(value: dict[str, Any], source: Source) -> Any:
    return list(value.values())[source] if isinstance(source, int) and source < len(value) else value.get(str(source))


def _grouped(records: Iterator[Record], columns: Columns, column: Source | None) -> Iterator[Record]:
    """The sentences: a new one begins with another value of `column`, or without it after a blank line."""
    rows: list[Record] = []
    current: Any = None
    for record in records:
        for name, cell in _cells(record, columns).items() or [(columns.required[0], None)]:
            if is_null(cell) or cell == "":
                raise UserError(f"{record.place}: no value in column '{columns.source(name)}': fill it in")
        if column is None:
            begins = bool(rows) and _begins_after_blank_line(rows[-1], record)
        else:
            found = _cell(record.value, column)
            begins = not is_null(found) and found not in ("", current)
            current = found if begins else current
        if begins and rows:
            yield Record(rows[0].place, WordRows(rows))
            rows = []
        rows.append(record)
    yield Record(rows[0].place, WordRows(rows))


def _begins_after_blank_line(first: Record, second: Record) -> bool:
    return isinstance(first.value, dict) and blank_line_between(first.place, first.value, second.place)
