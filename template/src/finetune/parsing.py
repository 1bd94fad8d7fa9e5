"""Input from outside: whatever a parser raises becomes one sentence, and one budget bounds depth, size and time."""

import re
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from os import stat_result
from pathlib import Path
from typing import Any, TypeVar

from .errors import UserError

DEEPEST = 100
"""Levels of lists and mappings within each other."""
LONGEST = 2**26
"""Characters of a line, a cell or a JSON value; more are taken for a mistake, so that they do not fill the memory."""
LARGEST_CONFIG = 2**19
"""Bytes of a config file, which takes seconds to parse."""
MOST_VALUES = 100_000
"""Values of a config, those that aliases repeat included."""
LARGEST_NUMBER = 2**63 - 1
"""The largest whole number of a config, which has 64 bits."""
BOMB, LARGE = 200, 2**28
"""How often larger a file becomes, at most, when it is decompressed, if that is more than this number of bytes."""
SECONDS = 2.0
"""Of a regular expression on one text."""

SURROGATE = re.compile("[\ud800-\udfff]")
UNSHOWN = re.compile("[\ud800-\udfff\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Half of a surrogate pair, which is no character: no file and no tokenizer takes it."""
SHOWN = 300
"""Characters of a reason, or of a value, in a sentence."""

Item = TypeVar("Item")


@contextmanager
def parsing(what: str | Callable[[], str], remedy: str) -> Iterator[None]:
    """Raise whatever the block raises as UserError `what (reason): remedy`; `what` begins with the place.

    It is a function where the place is known only when the parser has stopped.

    Only calls of libraries belong into the block: which exceptions a damaged file raises in them nobody can list, but
    a fault of our own code has to stay a traceback.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        told = what if isinstance(what, str) else what()
        raise UserError(f"{told} ({reason(error)}): {remedy}") from error


def parsed(items: Iterable[Item], what: str, remedy: str) -> Iterator[Item]:
    """The items that a library yields, with `parsing` around each step."""
    iterator = iter(items)
    while True:
        with parsing(what, remedy):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


def most_bytes(size: int) -> int:
    """How many bytes a compressed file of `size` bytes may become."""
    return max(LARGE, BOMB * size)


def require_depth(value: Any) -> None:
    """Raise RecursionError for lists and dicts in more than DEEPEST levels: what is done with them is recursive."""
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, list | dict)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise RecursionError


def reason(error: Exception) -> str:
    """Why a parser has failed, in one line."""
    match error:
        case OSError() if error.strerror:
            return error.strerror
        case RecursionError():
            return "nested too deeply"
        case MemoryError():
            return "it needs more memory than there is"
        case KeyError():
            return f"unknown name {shortened(str(error))}"
    return shortened(next(iter(str(error).splitlines()), "")) or type(error).__name__


def shortened(text: str, longest: int = SHOWN) -> str:
    """A text as a sentence shows it: without its middle where it is long, with surrogates and line breaks escaped."""
    cut = text if len(text) <= longest else f"{text[: longest // 2]}...{text[-longest // 2 :]}"
    return UNSHOWN.sub(lambda half: f"\\u{ord(half[0]):04x}", cut)


def require_regular(path: Path, remedy: str = "check the path") -> stat_result:
    """The status of a file. Raises UserError where there is none, and for a folder, a named pipe or a device.

    Opening a named pipe may wait for ever, and a device may have no end.
    """
    with parsing(f"{shortened(str(path))}: cannot be read", remedy):
        status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        kind = "folder" if stat.S_ISDIR(status.st_mode) else "named pipe or device"
        raise UserError(f"{path}: cannot be read (a {kind}, no regular file): {remedy}")
    return status
