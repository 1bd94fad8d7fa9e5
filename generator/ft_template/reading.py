"""Read files that somebody else wrote: regular files up to a size, as text.

A name in a project may stand for a named pipe, a device or a link to any other file. Opening such a name could block,
never end, or show what does not belong to the project.
"""

import os
import stat
from pathlib import Path

LIMIT = 256 << 10
"""Bytes. The largest file that a project needs, the schema of its config, has a quarter of it."""

FLAGS = ("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_BINARY")
"""Do not follow a link, wait for the writer of a pipe, become a terminal's process or change line ends."""


class RefusedError(Exception):
    """Why a file is not read, as the end of a sentence about it."""


def read_bytes(path: Path, within: Path, limit: int = LIMIT) -> bytes:
    """The content of a regular file whose path, with links resolved, lies in the folder `within`, itself resolved.

    Raises FileNotFoundError if it is missing, RefusedError if it is not such a file.
    """
    try:
        return _read(_resolved(path, within), limit)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(path) from error
    except OSError as error:
        raise RefusedError(f"it cannot be read ({error.strerror})") from error


def read_text(path: Path, within: Path, limit: int = LIMIT) -> str:
    """The same as text in UTF-8."""
    try:
        return read_bytes(path, within, limit).decode()
    except UnicodeDecodeError as error:
        raise RefusedError(f"it is not UTF-8 text (byte {error.start})") from error


def _resolved(path: Path, within: Path) -> Path:
    try:
        found = path.resolve(strict=True)
    except RuntimeError as error:  # before Python 3.13
        raise RefusedError("it is a link that leads to itself") from error
    except ValueError as error:  # a null character
        raise FileNotFoundError(path) from error
    if not found.is_relative_to(within):
        raise RefusedError("it is a link that leads out of the folder")
    return found


def _read(path: Path, limit: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | sum(getattr(os, name, 0) for name in FLAGS))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise RefusedError("it is not a regular file")
        content = bytearray()
        while len(content) <= limit and (part := os.read(descriptor, limit + 1 - len(content))):
            content += part
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise RefusedError(f"it has more than {limit >> 10} KiB")
    return bytes(content)
