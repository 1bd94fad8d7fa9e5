"""What Ctrl-C and a polite kill do: they raise at once, except where a step must not be torn in two."""

import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

SIGNALS = [number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None]


class Interrupted(KeyboardInterrupt):
    """Somebody wants the command to end."""


class _Hold:
    """Signals belong to the process, and so does what is known of them."""

    depth = 0
    pending = False


def _arrived(_number: int, _frame: FrameType | None) -> None:
    if _Hold.depth:
        _Hold.pending = True
    else:
        raise Interrupted


@contextmanager
def caught() -> Iterator[None]:
    """Within, a signal raises Interrupted, so that whatever was begun is taken back on the way out."""
    before = {number: signal.signal(number, _arrived) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def held() -> Iterator[None]:
    """Within, a signal waits: for what must be done as a whole, above all the taking back."""
    _Hold.depth += 1
    try:
        yield
    finally:
        _Hold.depth -= 1
        if _Hold.pending and not _Hold.depth:
            _Hold.pending = False
            raise Interrupted


@contextmanager
def temporary(parent: Path | None = None, prefix: str = "ft-template-") -> Iterator[Path]:
    """A folder of our own that is gone afterwards, whatever happens."""
    with held():
        folder = tempfile.TemporaryDirectory(prefix=prefix, dir=parent)
    try:
        yield Path(folder.name)
    finally:
        with held():
            folder.cleanup()
