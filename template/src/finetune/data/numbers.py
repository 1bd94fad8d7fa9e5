"""Numbers as people write them: with a decimal point or comma, with groups of three digits."""

import math
import re
from decimal import Decimal
from typing import Any

from ..errors import UserError

ASCII = {**{0xFF10 + digit: str(digit) for digit in range(10)}, 0xFF0C: ",", 0xFF0E: ".", 0xFF0B: "+", 0x2212: "-"}
"""Full-width digits and signs, as Chinese and Japanese keyboards have them, and the minus sign of typesetting."""
POINT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
GROUPED = re.compile(
    r"(?P<whole>[+-]?\d{1,3}(?P<group>[., '\u2019\u00a0\u202f])\d{3}((?P=group)\d{3})*)"
    r"((?!(?P=group))[.,](?P<fraction>\d+))?",
    re.ASCII,
)
AMBIGUOUS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)
SHOWN = 40
"""Characters of a wrong value in a message."""


def number_of(value: Any, place: str, what: str, wanted: str = "a number, such as 3.5") -> float:
    """A finite number; a text may have a decimal comma (3,5) and groups of digits (1.234,5 or 1,234.5 or 1 234,5).

    `place` (file:line), `what` (such as "the label") and what is `wanted` are for the message. Raises UserError for
    what is no number, such as nan, and for a text such as 1,234, which is one number in English, another in German.
    """
    number = _number(value)
    if number is not None and math.isfinite(number):
        return number
    shown = repr(value) if len(repr(value)) <= SHOWN else f"{repr(value)[:SHOWN]}..."
    if isinstance(value, str) and AMBIGUOUS.fullmatch(text := _plain(value)):
        meanings = f"{text.replace(',', '')} or {text.replace(',', '.')}"
        raise UserError(f"{place}: {what} is {shown}, which may be {meanings}: write one of these")
    raise UserError(f"{place}: {what} is {shown}: write {wanted}")


def is_number(value: Any) -> bool:
    """Whether `number_of` takes a value."""
    number = _number(value)
    return number is not None and math.isfinite(number)


def _number(value: Any) -> float | None:
    """None where a value is no number at all."""
    if isinstance(value, str):
        value = _point(_plain(value))
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    try:
        return float(value)
    except (OverflowError, ValueError):  # an integer beyond all floats; no number
        return None


def _plain(text: str) -> str:
    return text.strip().translate(ASCII)


def _point(text: str) -> str:
    """A number with a decimal point and without groups; an empty string if it is none."""
    if POINT.fullmatch(text):
        return text
    if COMMA.fullmatch(text):
        return "" if AMBIGUOUS.fullmatch(text) else text.replace(",", ".")
    grouped = GROUPED.fullmatch(text)
    return f"{grouped['whole'].replace(grouped['group'], '')}.{grouped['fraction'] or 0}" if grouped else ""
