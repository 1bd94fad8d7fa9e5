"""Numbers in the cells of a data file."""

import math
from typing import Any

from ..errors import UserError


def number_of(value: Any, place: str, name: str) -> float:
    """A finite number. Raises UserError, which begins with the place and says of `name` that it is none."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):  # OverflowError: an integer of 400 digits
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{place}: {name} is {value!r}: write a number, such as 3.5")
    return number
