"""Rows of a data file and the mapping from a task's columns to those of the file."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import UserError


@dataclass(frozen=True, slots=True)
class Row:
    """One example of a data file."""

    place: str
    """`file:line` of its first line, for error messages."""
    values: dict[str, Any]
    """The task's columns."""
    original: Any
    """All columns of the file, as they are written."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Maps the task's column names to the columns of a file."""

    required: tuple[str, ...]
    """The task's own names, in its order."""
    optional: tuple[str, ...] = ()
    renamed: dict[str, str | int] | None = None
    """`data.columns` of the config: a name or a position for each renamed column."""
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

    features: tuple[str, ...] = ()
    """Columns of `data.features`, which a file must have; single rows may lack a value."""

    def names(self) -> tuple[str, ...]:
        """All names, in the order that a file without a header has them."""
        return self.required[:1] + self.optional + self.required[1:] + self._text_form() + self.features

    def missing(self, present: Collection[str]) -> list[str]:
        """The required columns that are not `present`; those with `text_column` where it is, or is meant to be."""
        lacking, of_text = (
            [name for name in form if name not in present and name not in self.targets]
            for form in (self.required, self._text_form())
        )
        return of_text if lacking and self.text_column in {*present, *(self.renamed or {})} else lacking

    def _text_form(self) -> tuple[str, ...]:
        return (self.text_column, *self.text_targets) if self.text_column else ()

    def source(self, name: str) -> str | int:
        """The name or the position of a column in the file."""
        return (self.renamed or {}).get(name, name)


def check_columns(columns: Columns) -> None:
    """Raise UserError if `data.columns` names a column that the task does not have."""
    for name in columns.renamed or {}:
        if name not in columns.names():
            raise UserError(
                f"data.columns: the task has no column '{name}': its columns are {', '.join(columns.names())}"
            )


def check_optional_columns(rows: Sequence[Row], columns: Columns) -> None:
    """Raise UserError if a file lacks an optional column that `data.columns` names or the model was trained with.

    Single rows may lack it. A model that was trained without it refuses it.
    """
    for name in columns.features:
        if not any(name in row.values for row in rows):
            raise UserError(
                f"{rows[0].place}: no column '{columns.source(name)}', which data.features names (found: "
                f"{', '.join(rows[0].original)}): add it, or set data.columns.{name} to its name"
            )
    for name in columns.optional:
        trained, source = name in (columns.trained or ()), columns.source(name)
        if (trained or name in (columns.renamed or {})) and not any(name in row.values for row in rows):
            known = ", with which the model was trained" if trained else ""
            raise UserError(
                f"{rows[0].place}: no column '{source}'{known} (found: {', '.join(rows[0].original)}): "
                f"add it, or correct data.columns.{name}"
            )
        if columns.trained is not None and not trained:
            for row in rows:
                if row.values.get(name) is not None:
                    raise UserError(
                        f"{row.place}: column '{source}' has a value, but the model was trained without that column: "
                        f"take it out of the file"
                    )


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
        if isinstance(source, int) and source < len(cells):
            values[name] = cells[source]
        elif source in value:
            values[name] = value[source]
    require_values(values, place, columns, f" (found: {', '.join(map(str, value))})")
    return Row(place, values, value)


def rows_from_objects(values: Sequence[Any], columns: Columns) -> list[Row]:
    """The rows of objects that come from no file; their places are rows[0], rows[1], ...

    Raises UserError as `row_from_object` and `check_optional_columns` do.
    """
    rows = [row_from_object(value, f"rows[{number}]", columns) for number, value in enumerate(values)]
    if rows:
        check_optional_columns(rows, columns)
    return rows


def require_values(values: dict[str, Any], place: str, columns: Columns, found: str = "") -> None:
    """Raise UserError if a required column has no value; `found` tells which columns there are."""
    for name in columns.missing([name for name, value in values.items() if value is not None]):
        raise UserError(
            f"{place}: no value in column '{columns.source(name)}'{found}: fill it in, "
            f"or name the right column in data.columns.{name}"
        )
