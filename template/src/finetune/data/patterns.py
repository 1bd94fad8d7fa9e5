"""Regular expressions of a config: of the syntax of Python's `re`, searched for within a limit of time.

`re` cannot be interrupted, and some patterns take exponential time on some texts; the package regex takes a time limit.
"""

import math
import re
import warnings
from functools import lru_cache
from time import monotonic
from typing import Any

import regex

from ..parsing import SECONDS, parsing, reason

LONGEST_PATTERN, MOST_REPEATS = 100_000, 100_000
"""Characters of a pattern, and copies of a part that its counts ask for: regex writes out {m} within {n}."""
COUNT = re.compile(r"\{(\d+)")


def require_pattern(pattern: str) -> None:
    """Raise ValueError for what is no regular expression, or one that takes seconds and gigabytes to prepare."""
    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"more than {LONGEST_PATTERN:,} characters")
    try:
        with warnings.catch_warnings(action="ignore"):  # of what a later Python may read otherwise
            re.compile(pattern)
        if math.prod(max(1, int(count)) for count in COUNT.findall(pattern)) > MOST_REPEATS:
            raise ValueError(f"its counts in braces ask for more than {MOST_REPEATS:,} repetitions")
        _compiled(pattern)
    except Exception as error:
        raise ValueError(reason(error)) from error


def matches(pattern: str, text: str, place: str, key: str) -> bool:
    """Whether a text has a part that matches. Raises UserError where that takes longer than SECONDS."""
    what = f"{place}: {key} cannot be searched for in this row"
    with parsing(what, "write a pattern without repetitions within repetitions"):
        started, limit = monotonic(), SECONDS
        while True:
            try:
                return _compiled(pattern).search(text, timeout=limit) is not None
            except TimeoutError:  # it counts the processor time of all threads, such as those of the tokenizer
                if monotonic() - started >= SECONDS:
                    raise
                limit *= 2


@lru_cache(maxsize=100)
def _compiled(pattern: str) -> Any:
    return regex.compile(pattern)
