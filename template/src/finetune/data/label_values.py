"""Labels as files hold them: numbers, booleans, lists in one cell, a column of 0 and 1 for each; and their names."""

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..errors import UserError
from .cells import list_in_cell
from .missing import is_missing

WHOLE = re.compile(r"([+-]?\d+)\.0*")
"""A whole number as pandas writes it where other cells of the column are missing, such as 1.0."""
SEPARATORS = "|;,"
"""What joins labels in a cell. The first that a cell has is the one: others may be part of a label."""
YES, NO = ("1", "true", "yes"), ("0", "false", "no")
"""Cells of a column that stands for one label."""
SHOWN, LONGEST = 10, 80
"""Labels that a message names, and characters of a cell that it shows."""


def label_name(value: Any) -> str | None:
    """A label as text, the same whatever the format of its file; None if the value is no single label.

    Whole numbers have no decimal point, booleans are true and false, as in JSON.
    """
    if (
        value is None
        or isinstance(value, list | dict | bytes)
        or (isinstance(value, float) and not math.isfinite(value))
    ):
        return None
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    if text in ("True", "False", "TRUE", "FALSE"):
        return text.lower()
    whole = WHOLE.fullmatch(text)
    return (whole.group(1) if whole else text) or None


def labels_of(value: Any, place: str, known: Collection[str] = ()) -> list[str]:
    """The labels of a list, or of a cell: a list as it is printed, or labels joined by | or ; or commas.

    A cell that is one of the `known` labels is not divided. Raises UserError for another value.
    """
    items = value if isinstance(value, list) else [value]
    if isinstance(value, str) and label_name(value) not in known:
        printed = list_in_cell(value, bare=True)
        joiner = next((joiner for joiner in SEPARATORS if joiner in value), None)
        parts = [part.strip() for part in value.split(joiner)] if joiner else [value.strip()]
        items = [part for part in parts if part] if printed is None else printed
        if printed is None and value.lstrip()[:1] == "[":  # a part of a list, or one with another inside
            items = [None]
    names = [label_name(item) for item in items]
    if any(name is None for name in names):
        shown = str(value)[:LONGEST]
        raise UserError(f'{place}: labels must be a list of strings, such as ["a", "b"], or [] for none, not {shown}')
    return [name for name in names if name is not None]


def one_hot(names: Sequence[str], value: Mapping[str, Any], place: str) -> list[str]:
    """The labels whose columns hold 1. Raises UserError for a column that is not there, or another cell than 1 or 0."""
    found = []
    for name in names:
        if name not in value:
            raise UserError(f"{place}: no column '{name}' (found: {', '.join(map(str, value))}): correct data.columns")
        cell = "0" if is_missing(value[name]) else str(label_name(value[name])).lower()
        if cell not in YES + NO:
            raise UserError(
                f"{place}: column '{name}' is '{str(value[name])[:LONGEST]}': write 1 where the label holds, else 0"
            )
        if cell in YES:
            found.append(name)
    return found


def require_no_one_hot(value: Mapping[str, Any], others: Collection[Any], place: str) -> None:
    """Raise UserError, with the line to add, if columns besides `others` hold 1 or 0 and so can be a label each."""
    columns = [name for name, cell in value.items() if name not in others and label_name(cell) in YES[:2] + NO[:2]]
    if len(columns) > 1:
        raise UserError(
            f"{place}: no column 'labels', but columns of 1 and 0: if each is a label, add "
            f"columns: {{labels: {json.dumps(columns, ensure_ascii=False)}}} under data in the config"
        )


def named(column: str, value: Any, names: Mapping[str, str], place: str) -> Any:
    """The label, labels or tags in a column of the task by the names of `data.labels`; a name itself stays.

    Raises UserError for a label that has none.
    """
    if column == "label":
        return _name(value, names, place)
    if column == "tags" and isinstance(value, str):
        value = list_in_cell(value) or value.split()
    return [_name(label, names, place) for label in labels_of(value, place, {*names, *names.values()})]


def _name(value: Any, names: Mapping[str, str], place: str) -> str:
    label = label_name(value)
    if label is not None and label in names:
        return names[label]
    if label is not None and label in names.values():
        return label
    shown = ", ".join([*names][:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    raise UserError(
        f"{place}: label '{str(value)[:LONGEST]}' has no name in data.labels ({shown}): correct one of them"
    )
