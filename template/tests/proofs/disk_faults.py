"""Disks that are full, read-only or out of files, for the tests: by limits of the process, or by calls that fail."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ERRORS = [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.EIO]


@contextmanager
def limited(name: str, limit: int) -> Iterator[None]:
    """Lower a limit of this process: RLIMIT_FSIZE, bytes of a file, as on a disk that is full then; RLIMIT_NOFILE."""
    resource = pytest.importorskip("resource")
    number = getattr(resource, name)
    before = resource.getrlimit(number)
    resource.setrlimit(number, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(number, before)


class Fault:
    """Lets the `number`-th call of functions of the module os that write fail, each with another error of a disk."""

    FUNCTIONS = ("replace", "mkdir", "rename", "fsync", "open")

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls, self.number = 0, 0
        for name in self.FUNCTIONS:
            monkeypatch.setattr(os, name, self._failing(name, getattr(os, name)))

    def _failing(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if name == "open" and not arguments[1] & (os.O_WRONLY | os.O_RDWR):
                return function(*arguments, **options)
            self.calls += 1
            if self.calls == self.number:
                number = ERRORS[self.number % len(ERRORS)]
                raise OSError(number, os.strerror(number))
            return function(*arguments, **options)

        return call


def contents(folder: str = ".") -> dict[str, bytes]:
    """All files, but for what every command may leave: the cache of tokenized data."""
    paths = (path for path in Path(folder).rglob("*") if path.is_file() and ".cache" not in path.parts)
    return {path.as_posix(): path.read_bytes() for path in paths}
