"""Errors of the operating system as one sentence: path, reason, remedy.

A full disk, a missing right or a path that is too long is no error of the program. What means one of it whatever was
done, such as a full disk, is always told so; other errors only with the path that the system refused, outside of the
installed program. All else is an error of the program, and keeps its traceback.
"""

import errno
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

AGAIN = "then run the command again (a training with --resume)"
ELSEWHERE = "name another place"
RIGHTS = "change the permissions, or name another place"

ALWAYS = {
    errno.ENOSPC: ("no space left on the disk", f"free some, {AGAIN}"),
    getattr(errno, "EDQUOT", errno.ENOSPC): ("the disk quota is used up", f"free some space, {AGAIN}"),
    errno.EFBIG: ("the file would be larger than the system allows", f"raise the limit (ulimit -f), {AGAIN}"),
    errno.EROFS: ("the file system is read-only", ELSEWHERE),
    errno.EIO: ("the disk reports an input/output error", f"check the disk, {AGAIN}"),
    getattr(errno, "ESTALE", errno.EIO): ("the network file system has lost the file", f"mount it again, {AGAIN}"),
    errno.EMFILE: ("too many open files", f"raise the limit (ulimit -n), {AGAIN}"),
    errno.ENFILE: ("too many open files on this machine", f"close other programs, {AGAIN}"),
    errno.ENAMETOOLONG: ("the path is too long", "choose a shorter name, or a folder further up"),
}
"""Reason and remedy of errors that mean the same whatever was done."""
WITH_PATH = {
    errno.ENOENT: ("no such file or folder", f"put it back if it was there before, or correct the path, {AGAIN}"),
    errno.ENOTDIR: ("a file is in the place of a folder", ELSEWHERE),
    errno.EISDIR: ("is a folder", "name a file"),
    errno.EACCES: ("permission denied", RIGHTS),
    errno.EPERM: ("operation not permitted", RIGHTS),
    errno.EEXIST: ("exists already", ELSEWHERE),
    errno.ENOTEMPTY: ("the folder is not empty", ELSEWHERE),
    errno.EBUSY: ("is in use", f"close the other program, {AGAIN}"),
    errno.ELOOP: ("a link leads to itself", "remove the link"),
    errno.ENXIO: ("is no regular file", "name a regular file"),
    errno.ENODEV: ("is no regular file", "name a regular file"),
}
LONGEST_NAME, LONGEST_ON_WINDOWS = 255, 260
"""Bytes of a name on most systems; characters of a path on Windows, where the limit is not lifted."""
WINDOWS = os.name == "nt"

FROM_RUST = re.compile(r"\((?:os error|errno) (\d+)\)|\[errno (\d+)\]")
FROM_TORCH = ("PytorchStreamWriter failed", "inline_container.cc")
OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")
"""What torch's allocators say; of a GPU also as an exception of its own."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out, on any device."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in OUT_OF_MEMORY)


def sentence_of(error: BaseException) -> str | None:
    """The sentence for an error of the system; None for an error of the program."""
    if is_out_of_memory(error):
        return (
            "out of memory: close other programs, or take shorter texts (model.max_length), smaller batches "
            "(train.micro_batch_tokens) or a smaller model"
        )
    found = system_error(error)
    if found is None or found.errno is None:
        return None
    path = _path_of(found)
    if path and (too_long := _too_long(path, found.errno)):
        return f"{path}: {too_long}"
    if known := ALWAYS.get(found.errno) or (WITH_PATH.get(found.errno) if path and not _is_ours(path) else None):
        return ": ".join((path, *known) if path else known)
    return None


def system_error(error: BaseException) -> OSError | None:
    """An exception as an error of the system; None if it is none.

    Libraries written in Rust (safetensors, tokenizers) and C++ (torch, pyarrow) have exceptions of their own for it.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error
    if found := FROM_RUST.search(str(error)):
        number = int(found[1] or found[2])
        return OSError(0, str(error), None, number) if WINDOWS else OSError(number, os.strerror(number))
    if isinstance(error, RuntimeError) and any(words in str(error) for words in FROM_TORCH):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # it does not say why not all could be written
    return None


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give the errors of the system that the block raises `path`, if they have none, as those of a write to a file."""
    try:
        yield
    except Exception as error:
        found = system_error(error)
        if found is None or found.filename is not None or isinstance(error, BrokenPipeError):
            raise
        raise OSError(found.errno, found.strerror, str(path)) from error


def names_path(write: Callable[P, R]) -> Callable[P, R]:
    """`naming` for a function whose first argument is the path that it writes."""

    @wraps(write)
    def named(*arguments: P.args, **options: P.kwargs) -> R:
        with naming(Path(str(arguments[0]))):
            return write(*arguments, **options)

    return named


def flush_standard_output() -> None:
    """Let all that was printed leave the process, while an error of it can still be told."""
    with naming(Path("standard output")):
        if sys.stdout is not None:
            sys.stdout.flush()


def hide_in_threads() -> None:
    """Print no traceback of errors of the system in threads and finalizers: whoever waits for what they write gets it.

    TensorBoard's thread, for one, raises its error again at the next write.
    """
    in_threads, in_finalizers = threading.excepthook, sys.unraisablehook

    def of_thread(failed: Any) -> None:
        if failed.exc_value is None or sentence_of(failed.exc_value) is None:
            in_threads(failed)

    def of_finalizer(failed: Any) -> None:
        if failed.exc_value is None or sentence_of(failed.exc_value) is None:
            in_finalizers(failed)

    threading.excepthook, sys.unraisablehook = of_thread, of_finalizer


def _path_of(error: OSError) -> str:
    """The path that was refused; of a renaming or a link the second one, which was to be made."""
    paths = (error.filename2, error.filename)
    return next((os.fsdecode(path) for path in paths if isinstance(path, str | bytes | os.PathLike)), "")


def _too_long(path: str, number: int) -> str | None:
    longest = max(len(os.fsencode(part)) for part in re.split(r"[/\\]" if WINDOWS else "/", path))
    if longest > LONGEST_NAME and number in (errno.ENAMETOOLONG, errno.ENOENT, errno.EINVAL):
        return f"a name in it has {longest} bytes, more than {LONGEST_NAME}: choose a shorter one"
    if WINDOWS and len(os.path.abspath(path)) >= LONGEST_ON_WINDOWS and number in (errno.ENAMETOOLONG, errno.ENOENT):
        return (
            f"the path has {len(os.path.abspath(path))} characters, and Windows allows {LONGEST_ON_WINDOWS - 1}: move "
            f"the project to a folder further up, or turn long paths on in Windows"
        )
    return None


def _is_ours(path: str) -> bool:
    """Whether a path lies in the installed program, where nothing of the user's is missing."""
    places = (Path(__file__).parent, Path(sys.prefix), Path(sys.base_prefix))
    return any(Path(os.path.abspath(path)).is_relative_to(place) for place in places)
