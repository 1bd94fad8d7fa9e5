"""Rows of a data file and the mapping from a task's columns to those of the file."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import yaml

from ..console import notice
from ..errors import UserError
from .forms.all_forms import form_of
from .forms.form import Form, unpaired
from .label_values import named, one_hot, require_no_one_hot
from .missing import NAN, is_null
from .opening import FileOptions
from .records import Record
from .template import columns_in, filled
from .usual_names import FOUND_ALONE, ROW_NUMBERS, named_as, plain, ways_to_read

SHOWN = 30
"""Most columns of a file that a message lists."""


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


@dataclass(frozen=True)
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
    answers: tuple[str, ...] = ()
    """Columns in which the text NaN stands for a missing value, as pandas writes it: those to be predicted."""
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
    template: str | None = None
    """`data.template` of the config: the text that takes the place of a column of the task."""
    templated: str = ""
    """That column; by default the first."""
    file: FileOptions = field(default_factory=FileOptions)
    """How the bytes of a file become cells and objects."""
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

    def source(self, name: str) -> Source:
        """The name or the position of a column in the file, or the names of one-hot columns."""
        return (self.renamed or {}).get(name, name)

    @cached_property
    def read(self) -> list[tuple[str, Source]]:
        """The columns whose values are read, each with its source."""
        return [(name, self.source(name)) for name in self.names() if name not in self.targets]

    def present(self, found: Sequence[str]) -> list[str]:
        """The names of the task that are among the columns of a file."""
        sources = {name: self.source(name) for name in self.names()}
        return [
            name
            for name, source in sources.items()
            if source in found
            or isinstance(source, tuple)
            or (isinstance(source, int) and source < len(found))
            or (self.template and name == (self.templated or self.required[0]))
        ]

    def are_in(self, found: Sequence[str]) -> bool:
        """Whether a table with these columns has all that are required, also by their usual names."""
        resolved = self.resolved(found)
        return not resolved.missing(resolved.present(found))

    def resolved(self, found: Sequence[str]) -> "Columns":
        """These columns, with those that a file lacks found by their usual names where that has one sense only."""
        if self.template and self.text_column and not self.templated:
            # With completions it is a prompt, and else the whole text.
            for templated in (self.required[0], self.text_column):
                resolved = replace(self, templated=templated).resolved(found)
                if not resolved.missing(resolved.present(found)):
                    break
            return resolved
        present = self.present(found)
        lacking = self.missing(present)
        alone = {*self.optional} & {*FOUND_ALONE} - {*present}
        if not (lacking or alone) or any(name in (self.renamed or {}) for name in lacking):
            return self
        used = {*map(self.source, present), *(columns_in(self.template) if self.template else ())}
        free = [column for column in found if column not in used]
        optional = {name for name in self.optional if name not in present and name not in (self.renamed or {})}
        if self.trained is not None:
            lacking += [name for name in optional if name in self.trained]
            optional = set()
        forms = [lacking]
        if self.text_column and self.text_column not in (*present, *lacking):
            forms.append([name for name in self._text_form() if name not in (*present, *self.targets)])
        ways = [way for form in forms for way in ways_to_read(form, optional, free)]
        # A text by itself is no other sense of one half of a pair.
        ways = [way for way in ways if not any({*way.values()} < {*other.values()} for other in ways)]
        return replace(self, renamed={**(self.renamed or {}), **ways[0]}) if len(ways) == 1 and ways[0] else self


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
        self.present.update(row.values)
        for name in self.columns.optional:
            trained = self.columns.trained
            if trained is not None and name not in trained and row.values.get(name) is not None:
                raise UserError(
                    f"{row.place}: column '{self.columns.source(name)}' has a value, but the model was trained without "
                    f"that column: take it out of the file"
                )

    def check(self) -> None:
        """Raise UserError if no row had a column that the config names or the model was trained with."""
        for name in self.columns.features:
            if self.first and name not in self.present:
                raise UserError(
                    f"{self.first.place}: no column '{self.columns.source(name)}', which data.features names "
                    f"({_found(self.first.original)}): add it, or set data.columns.{name} to its name"
                )
        for name in self.columns.optional:
            trained = name in (self.columns.trained or ())
            if self.first and name not in self.present and (trained or name in (self.columns.renamed or {})):
                known = ", with which the model was trained" if trained else ""
                raise UserError(
                    f"{self.first.place}: no column '{self.columns.source(name)}'{known} "
                    f"({_found(self.first.original)}): add it, or correct data.columns.{name}"
                    f"{_nearest(self.columns.source(name), list(self.first.original))}"
                )


def row_from_record(record: Record, columns: Columns, form: Form | None = None) -> Row:
    """The row of what a reader yields. Raises UserError if it is no example of the task or lacks a required column."""
    value = original = unpaired(record.value)
    if form and isinstance(value, dict):
        value = form.convert(value, record.place)
    row = row_from_object(value, record.place, columns)
    if record.original is None and row.original is original:
        return row
    return Row(row.place, row.values, original if record.original is None else record.original)


def resolve_columns(columns: Columns, value: Any, source: str) -> Columns:
    """The columns for a file, or other `source`, of whose examples `value` is the first; what was found is said."""
    if not isinstance(value, dict):
        return columns
    resolved = columns.resolved(list(value))
    before, after = columns.renamed or {}, resolved.renamed or {}
    if new := {name: column for name, column in after.items() if name not in before}:
        read = " and ".join(f"'{column}'" for column in new.values())
        plural = "s" if len(new) > 1 else ""
        verb = "are" if plural else "is"
        notice(
            f"{source}: column{plural} {read} {verb} read as {' and '.join(new)}: "
            f"set data.columns: {flow(after)} to say so in the config"
        )
    return resolved


def require_columns(found: Sequence[str], columns: Columns, place: str, *, header: bool = False) -> None:
    """Raise UserError if a table lacks a required column; `header` tells that its first line was read as names."""
    if form_of(columns.task, dict.fromkeys(found, "[")):  # of a known tool, as the rows may show
        return
    resolved = columns.resolved(found)
    # Labels may stand in several columns, as the rows show.
    for name in resolved.missing([*resolved.present(found), "labels"]):
        example = ", or set data.header to false if the first line is an example" if header else ""
        raise UserError(f"{place}: no column {_lacking(name, found, resolved)}{example}")


def row_from_object(value: Any, place: str, columns: Columns) -> Row:
    """The row of an object that maps the file's column names to values.

    Raises UserError if it is no object, or a required column has no value.
    """
    if not isinstance(value, dict):
        shown = json.dumps(value, ensure_ascii=False)[:40]
        example = ", ".join(f'"{columns.source(name)}": ...' for name in columns.required)
        raise UserError(f"{place}: {shown} is not an example: write an object such as {{{example}}}")
    cells = list(value.values())
    values: dict[str, Any] = {}
    for name, source in columns.read:
        if isinstance(source, tuple):
            values[name] = one_hot(source, value, place)
        elif isinstance(source, int) and source < len(cells):
            values[name] = cells[source]
        elif source in value:
            values[name] = value[source]
    if columns.template:
        values[columns.templated or columns.required[0]] = filled(columns.template, value, place)
    for name, cell in values.items():
        if is_null(cell) or (name in columns.answers and isinstance(cell, str) and cell.strip() in NAN):
            values[name] = None
    label = columns.label_column
    if columns.label_names and values.get(label) is not None:
        values[label] = named(label, values[label], columns.label_names, place)
    if label == "labels" and label in columns.missing(values):
        require_no_one_hot(value, [columns.source(name) for name in values], place)
    require_values(values, place, columns, list(value))
    return Row(place, values, value)


def rows_from_objects(values: Sequence[Any], columns: Columns) -> list[Row]:
    """The rows of objects that come from no file; their places are rows[0], rows[1], ...

    Raises UserError as `stream_rows` does.
    """
    columns = resolve_columns(columns, values[0] if values else None, "rows[0]")
    rows = [row_from_object(value, f"rows[{number}]", columns) for number, value in enumerate(values)]
    optional = OptionalColumns(columns)
    for row in rows:
        optional.see(row)
    optional.check()
    return rows


def require_values(values: Mapping[str, Any], place: str, columns: Columns, found: Sequence[str]) -> None:
    """Raise UserError if a required column has no value; `found` are the columns that there are."""
    if all(values.get(name) is not None for name in columns.required):  # in most rows
        return
    for name in columns.missing([name for name, value in values.items() if value is not None]):
        raise UserError(f"{place}: no value in column {_lacking(name, found, columns, 'fill it in, or ')}")


def flow(mapping: Mapping[str, Any]) -> str:
    """A mapping as YAML in one line, to be copied into a config."""
    dumped: str = yaml.safe_dump({**mapping}, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6)
    return dumped.strip()


def _lacking(name: str, found: Sequence[str], columns: Columns, otherwise: str = "") -> str:
    """The end of the sentence on a column that is not there: the columns that are, and the line to add."""
    source = columns.source(name)
    text = f"'{source}' ({_found(found)}): {otherwise}"
    present = columns.present(found)
    if name in (columns.renamed or {}) and name not in present:
        return f"{text}correct data.columns.{name}{_nearest(source, found)}"
    free = [column for column in found if column not in {columns.source(one) for one in present}]
    free.sort(key=lambda column: plain(column) in ROW_NUMBERS)
    line = dict(columns.renamed or {})
    for lacking in columns.missing(present):
        if likely := (*named_as(lacking, free), *get_close_matches(lacking, free, n=1), *free):
            line[lacking] = likely[0]
            free.remove(likely[0])
    if name in present or not set(columns.missing(present)) <= {*line}:
        return f"{text}name the right column in data.columns.{name}"
    return f"{text}add columns: {flow(line)} under data in the config, with the right column"


def _found(columns: Collection[str]) -> str:
    names = [*map(str, columns)]
    return f"found: {', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}"


def _nearest(source: Source, found: Sequence[str]) -> str:
    close = get_close_matches(str(source), found, n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""
