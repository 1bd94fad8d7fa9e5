"""Signals as exceptions: SIGINT, SIGTERM and SIGHUP raise Interrupted at once, or after an uninterruptible step."""

import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

SIGNALS = [number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None]


class Interrupted(KeyboardInterrupt):
    """A signal asked the command to stop."""


class _Deferral:
    """State of `deferred_signals`; global because signal handlers belong to the process."""

    depth = 0
    pending = False


def _handle(_number: int, _frame: FrameType | None) -> None:
    if _Deferral.depth:
        _Deferral.pending = True
    else:
        raise Interrupted


@contextmanager
def signals_as_exceptions() -> Iterator[None]:
    """Inside, a signal raises Interrupted, so that context managers clean up."""
    before = {number: signal.signal(number, _handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def deferred_signals() -> Iterator[None]:
    """Inside, a signal waits until the end: for steps that must not be interrupted, such as cleaning up."""
    _Deferral.depth += 1
    try:
        yield
    finally:
        _Deferral.depth -= 1
        if _Deferral.pending and not _Deferral.depth:
            _Deferral.pending = False
            raise Interrupted


@contextmanager
def temporary_folder(parent: Path | None = None, prefix: str = "ft-template-") -> Iterator[Path]:
    """A new temporary folder, removed at the end also after an error or a signal."""
    with deferred_signals():
        folder = tempfile.TemporaryDirectory(prefix=prefix, dir=parent)
    try:
        yield Path(folder.name)
    finally:
        with deferred_signals():
            folder.cleanup()
