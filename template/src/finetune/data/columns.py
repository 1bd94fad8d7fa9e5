"""Rows of a data file and the mapping from a task's columns to those of the file."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import UserError
from .forms.form import Form, unpaired
from .label_values import named, one_hot, require_no_one_hot
from .missing import is_null
from .records import Record


@dataclass(frozen=True, slots=True)
class Row:
    """One example of a data file."""

    place: str
    """`file:line` of its first line, for error messages."""
    values: dict[str, Any]
    """The task's columns."""
    original: Any
    """All columns of the file, as they are written."""


Source = str | int | tuple[str, ...]
"""Where the values of a task's column stand in a file: a column by its name or position, or a column for each label."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Maps the task's column names to the columns of a file."""

    required: tuple[str, ...]
    """The task's own names, in its order."""
    optional: tuple[str, ...] = ()
    renamed: Mapping[str, Source] | None = None
    """`data.columns` of the config: a name or a position for each renamed column; for labels a column for each."""
    header: bool = True
    """`data.header` of the config: whether the first line of a .csv or .tsv file has the names."""
    text_column: str | None = None
    """A column that replaces all the required ones, such as `text` for prompt and completion."""
    text_targets: tuple[str, ...] = ()
    """Columns that are required as well where there is `text_column`, such as `entities`."""
    targets: tuple[str, ...] = ()
    """Columns that a file may lack, because they are to be predicted; they are not read."""
    trained: tuple[str, ...] | None = None
    """The optional columns that the model was trained with; None before training, when any may be there."""
    label_column: str = ""
    """The column whose values have `label_names`."""
    label_names: Mapping[str, str] = field(default_factory=dict)
    """`data.labels` of the config: the name of each label of the file."""
    grouped_by: str = ""
    """A column by which rows of one word each make sentences, such as `sentence`."""
    task: str = ""
    """The task, which decides which forms of known tools are read."""

    def names(self) -> tuple[str, ...]:
        """All names, in the order that a file without a header has them."""
        return self.required[:1] + self.optional + self.required[1:] + self._text_form()

    def missing(self, present: Collection[str]) -> list[str]:
        """The required columns that are not `present`; those with `text_column` where it is, or is meant to be."""
        lacking, of_text = (
            [name for name in form if name not in present and name not in self.targets]
            for form in (self.required, self._text_form())
        )
        return of_text if lacking and self.text_column in {*present, *(self.renamed or {})} else lacking

    def _text_form(self) -> tuple[str, ...]:
        return (self.text_column, *self.text_targets) if self.text_column else ()

    def source(self, name: str) -> Source:
        """The name or the position of a column in the file, or the names of one-hot columns."""
        return (self.renamed or {}).get(name, name)


def check_columns(columns: Columns) -> None:
    """Raise UserError if `data.columns` names a column that the task does not have."""
    for name, source in (columns.renamed or {}).items():
        names = (*columns.names(), *filter(None, [columns.grouped_by]))
        if name not in names:
            raise UserError(f"data.columns: the task has no column '{name}': its columns are {', '.join(names)}")
        if isinstance(source, tuple) and name != "labels":
            raise UserError(f"data.columns.{name} is a list, which only labels can be: write the name of one column")


@dataclass(slots=True)
class OptionalColumns:
    """The optional columns of a file: `data.columns` and the model's training decide which it must or may not have."""

    columns: Columns
    first: Row | None = None
    present: set[str] = field(default_factory=set)

    def see(self, row: Row) -> None:
        """Look at the next row. Raises UserError for a value in a column that the model was trained without."""
        self.first = self.first or row
        for name in self.columns.optional:
            if name in row.values:
                self.present.add(name)
            trained = self.columns.trained
            if trained is not None and name not in trained and row.values.get(name) is not None:
                raise UserError(
                    f"{row.place}: column '{self.columns.source(name)}' has a value, but the model was trained without "
                    f"that column: take it out of the file"
                )

    def check(self) -> None:
        """Raise UserError if no row had a column that `data.columns` names or the model was trained with."""
        for name in self.columns.optional:
            trained = name in (self.columns.trained or ())
            if self.first and name not in self.present and (trained or name in (self.columns.renamed or {})):
                known = ", with which the model was trained" if trained else ""
                raise UserError(
                    f"{self.first.place}: no column '{self.columns.source(name)}'{known} "
                    f"(found: {', '.join(self.first.original)}): add it, or correct data.columns.{name}"
                )


def row_from_record(record: Record, columns: Columns, form: Form | None = None) -> Row:
    """The row of what a reader yields. Raises UserError if it is no example of the task or lacks a required column."""
    value = original = unpaired(record.value)
    if form and isinstance(value, dict):
        value = form.convert(value, record.place)
    row = row_from_object(value, record.place, columns)
    return Row(row.place, row.values, original if record.original is None else record.original)


def row_from_object(value: Any, place: str, columns: Columns) -> Row:
    """The row of an object that maps the file's column names to values.

    Raises UserError if it is no object, or a required column has no value.
    """
    if not isinstance(value, dict):
        shown = json.dumps(value, ensure_ascii=False)[:40]
        example = ", ".join(f'"{columns.source(name)}": ...' for name in columns.required)
        raise UserError(f"{place}: {shown} is not an example: write an object such as {{{example}}}")
    cells = list(value.values())
    values = {}
    for name in columns.names():
        if name in columns.targets:
            continue
        source = columns.source(name)
        if isinstance(source, tuple):
            values[name] = one_hot(source, value, place)
        elif isinstance(source, int) and source < len(cells):
            values[name] = cells[source]
        elif source in value:
            values[name] = value[source]
    label = columns.label_column
    if columns.label_names and not is_null(values.get(label)):
        values[label] = named(label, values[label], columns.label_names, place)
    if label == "labels" and label in columns.missing(values):
        require_no_one_hot(value, [columns.source(name) for name in values], place)
    require_values(values, place, columns, f" (found: {', '.join(map(str, value))})")
    return Row(place, values, value)


def rows_from_objects(values: Sequence[Any], columns: Columns) -> list[Row]:
    """The rows of objects that come from no file; their places are rows[0], rows[1], ...

    Raises UserError as `stream_rows` does.
    """
    rows = [row_from_object(value, f"rows[{number}]", columns) for number, value in enumerate(values)]
    optional = OptionalColumns(columns)
    for row in rows:
        optional.see(row)
    optional.check()
    return rows


def require_values(values: dict[str, Any], place: str, columns: Columns, found: str = "") -> None:
    """Raise UserError if a required column has no value; `found` tells which columns there are."""
    for name in columns.missing([name for name, value in values.items() if value is not None]):
        raise UserError(
            f"{place}: no value in column '{columns.source(name)}'{found}: fill it in, "
            f"or name the right column in data.columns.{name}"
        )
