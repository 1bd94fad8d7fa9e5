"""Limits of size inside a chat template, which a limit of time cannot set.

Python is not interrupted inside one operation, such as `9 ** 9 ** 9` or `'a' * 10 ** 10`: templates may not have
operations that make so much of little. transformers renders a template in the sandbox of jinja2, without attributes of
Python; here it gets a sandbox with these limits as well.

Some templates write today's date. Here it is always the same one, so that a text has the same tokens on another day.
"""

import re
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any

from jinja2 import Template
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

LARGEST = 100_000
"""Of numbers that say how often or how wide something is."""
MOST_CHARACTERS = 10_000_000
"""Of a text or a list that is made of others."""
WIDTH = re.compile(r"\d{6,}")
"""In a format such as `%999999d`."""
WIDTH_AS_VALUE = re.compile(r"%[^%a-z]*\*|\{[^}]*\{")
DAY = datetime(2024, 7, 26)
"""Today for templates: the day that the one of Llama 3.2 names where it is told none."""
SIZED_FILTERS = ("batch", "center", "indent", "slice")


class LimitedEnvironment(ImmutableSandboxedEnvironment):
    """jinja2's sandbox, in which no single operation makes a huge number, text or list."""

    intercepted_binops = frozenset(("**", "*", "%", "+"))

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.filters |= {name: _of_small_numbers(self.filters[name]) for name in SIZED_FILTERS}
        self.filters["format"] = _narrow(self.filters["format"])

    def from_string(self, *arguments: Any, **options: Any) -> Template:
        """A template, which is compiled after the library has set what it may call."""
        self.globals["strftime_now"] = DAY.strftime
        return super().from_string(*arguments, **options)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        match operator:
            case "**":
                _require_small(right)
                _require_small(left)
                if isinstance(right, int) and right > 100:
                    raise SecurityError(f"{left} ** {right} is too large")
            case "*":
                for text, times in ((left, right), (right, left)):
                    if isinstance(times, int) and hasattr(text, "__len__"):
                        _require_length(len(text) * times)
            case "%" if isinstance(left, str):
                _require_narrow(left, right)
            case "+" if hasattr(left, "__len__") and hasattr(right, "__len__"):
                _require_length(len(left) + len(right))
        return super().call_binop(context, operator, left, right)

    def call(self, __context: Any, __obj: Any, *arguments: Any, **options: Any) -> Any:
        """A call in the template, such as of a method of a text."""
        if isinstance(getattr(__obj, "__self__", None), str):
            _require_small(*arguments, *options.values())
        return super().call(__context, __obj, *arguments, **options)

    def wrap_str_format(self, value: Any) -> Any:
        """The method of a text that formats it, in the sandbox; None for any other value."""
        found = super().wrap_str_format(value)
        return found and _narrow(found, value.__self__)


def _of_small_numbers(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def limited(*arguments: Any, **options: Any) -> Any:
        _require_small(*arguments, *options.values())
        return function(*arguments, **options)

    return limited


def _narrow(function: Callable[..., Any], *form: str) -> Callable[..., Any]:
    """A function that formats its arguments by `form`, or by the first of them."""

    @wraps(function)
    def limited(*arguments: Any, **options: Any) -> Any:
        _require_narrow(*form, *arguments, *options.values())
        return function(*arguments, **options)

    return limited


def _require_narrow(form: Any, *values: Any) -> None:
    """Raise SecurityError for a format with a large width, which one of the values may be."""
    if WIDTH.search(str(form)):
        raise SecurityError("a number in it is too large")
    if WIDTH_AS_VALUE.search(str(form)):
        _require_small(*values)


def _require_small(*values: Any) -> None:
    for value in values:
        if isinstance(value, tuple):
            _require_small(*value)
        elif isinstance(value, int | float) and abs(value) > LARGEST:
            raise SecurityError("a number in it is too large")


def _require_length(length: int) -> None:
    if length > MOST_CHARACTERS:
        raise SecurityError(f"it makes a text or list of {length:,} elements")
