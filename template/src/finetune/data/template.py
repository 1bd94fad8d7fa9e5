"""`data.template`: a text that is made of several columns of a row, such as "{title} [SEP] {brand}, {price} EUR"."""

from collections.abc import Mapping
from functools import lru_cache
from string import Formatter
from typing import Any

from ..errors import UserError
from ..parsing import shortened
from .missing import is_null


@lru_cache
def parts_of(template: str) -> list[tuple[str, str | None]]:
    """The text before each column, and the column; behind the last text there is none.

    Raises ValueError for all that a column name in braces is not, such as `{a.b}`, `{a[0]}`, `{a!r}` and `{a:>9}`: a
    template is filled with values and executes nothing.
    """
    parts = []
    for text, name, form, conversion in Formatter().parse(template):
        if name is not None and (not name.strip() or form or conversion or set(name) & set(".[]{}")):
            raise ValueError(f"'{{{name}' is not the name of a column in braces: write {{name}}, and {{{{ for a brace")
        parts.append((text, name))
    if all(name is None for _, name in parts):
        raise ValueError("names no column: write columns in braces, such as {title}")
    return parts


def columns_in(template: str) -> list[str]:
    """The columns that a template names."""
    return [name for _, name in parts_of(template) if name is not None]


def filled(template: str, row: Mapping[str, Any], place: str) -> str:
    """The text for the columns of a file; a missing value is empty. Raises UserError for a column that is not there."""
    return "".join(text + ("" if name is None else _cell(name, row, place)) for text, name in parts_of(template))


def _cell(name: str, row: Mapping[str, Any], place: str) -> str:
    if name in row:
        value = row[name]
    elif name.isdecimal() and len(name) < 10 and int(name) < len(row):  # a position, as in data.columns
        value = [*row.values()][int(name)]
    else:
        what = f"no column '{shortened(name)}', which data.template names (found: {shortened(', '.join(row))})"
        raise UserError(f"{place}: {what}: correct it")
    if is_null(value):
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
