"""A limit of time for a call of a library that runs what somebody else wrote, such as the chat template of a model.

It holds in every thread and on every system, unlike a signal, and starts no process. The exception is raised between
two instructions of Python: a single call of a function in C is not interrupted.
"""

import ctypes
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PERIOD, AGAIN = 0.25, 1.0
"""Seconds between two looks at the limits; after which the exception is raised once more, where something caught it."""


class LimitReachedError(TimeoutError):
    """The time of a block is over."""


_limits: dict[int, float] = {}
"""The time at which the limit of each thread ends."""
_lock = threading.Lock()
_watching: list[threading.Thread] = []


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block if it takes longer; a limit within another one ends the outer one."""
    thread = threading.get_ident()
    with _lock:
        if not (_watching and _watching[-1].is_alive()):
            _ignore_where_nothing_can_be_raised()
            _watching[:] = [threading.Thread(target=_watch, name="time limits", daemon=True)]
            _watching[0].start()
        _limits[thread] = time.monotonic() + seconds
    try:
        try:
            yield
        finally:
            _limits.pop(thread, None)
    finally:
        with _lock:  # so that nothing is raised behind the block
            _limits.pop(thread, None)  # again, as the exception may have come just before


def _ignore_where_nothing_can_be_raised() -> None:
    """In a callback of the garbage collector Python would print the exception; it is raised again soon behind it."""
    report = sys.unraisablehook

    def hook(found: Any) -> None:
        if found.exc_type is not LimitReachedError:
            report(found)

    sys.unraisablehook = hook


def _watch() -> None:
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    while True:
        time.sleep(PERIOD)
        with _lock:
            for thread in [thread for thread, end in [*_limits.items()] if end < time.monotonic()]:
                _limits[thread] = time.monotonic() + AGAIN
                raise_in(ctypes.c_ulong(thread), ctypes.py_object(LimitReachedError))
