"""Missing values: how files write that a cell is empty."""

import math
from typing import Any

NAN = ("nan", "NaN")
"""What pandas writes as text where a value is missing."""


def is_null(value: Any) -> bool:
    """Whether there is no value at all: null, or the number NaN, which pandas puts in its place."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def is_missing(value: Any) -> bool:
    """Whether a cell is empty: null, NaN as a number or as text, a blank text, or an empty list."""
    return is_null(value) or value == [] or (isinstance(value, str) and value.strip() in ("", *NAN))
