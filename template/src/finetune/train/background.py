"""Writing in the background: the training goes on while a thread writes a copy of its state.

The loop waits while tensors are copied to CPU memory, which takes as much memory again as what is written. Where that
is not free, it waits for the write instead.
"""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from ..distributed.parallel import gather_full
from ..distributed.world import World


class BackgroundWriter:
    """Runs one write at a time in a thread of the main rank. Its methods are called by all ranks."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._copy: Any = None
        """The latest copy: the next one reuses its memory, for allocating memory takes longer than copying."""

    @property
    def failed(self) -> bool:
        """Whether a write has failed, on the main rank; `wait` raises its error."""
        return self._error is not None

    @property
    def is_busy(self) -> bool:
        """Whether a write is going on."""
        return self._thread is not None and self._thread.is_alive()

    def write(self, state: dict[str, Any], write: Callable[[dict[str, Any]], None]) -> None:
        """Let a thread `write` a copy of `state`, nested dicts and lists with full tensors in place of sharded ones.

        Waits for the write before, and raises its error on all ranks.
        """
        self.wait()
        to_copy = self._copy is not None or 2 * _nbytes(state) < free_memory()
        full = gather_full(state, self._world, copy=to_copy, reuse=self._copy)
        if not self._world.is_main:
            return
        self._copy = full if to_copy else None
        # A daemon thread does not keep a program from ending: an unfinished write is no checkpoint.
        self._thread = threading.Thread(target=self._run, args=(write, full), daemon=True)
        self._thread.start()
        if not to_copy:
            self.join()

    def wait(self) -> None:
        """Wait until all is written. What a write has raised is raised on all ranks."""
        with self._world.raise_together():
            self.join()
            if self._error:
                raise self._error

    def join(self) -> None:
        """Wait until the thread has ended, on this rank alone."""
        if self._thread:
            self._thread.join()

    def _run(self, write: Callable[[dict[str, Any]], None], state: dict[str, Any]) -> None:
        try:
            write(state)
        except BaseException as error:
            self._error = error


@contextmanager
def background_writer(world: World) -> Iterator[BackgroundWriter]:
    """A writer for the block, which ends when all is written, also if it raises."""
    writer = BackgroundWriter(world)
    try:
        yield writer
    except BaseException as error:
        writer.join()  # without the other ranks: this one may have failed alone
        if writer.failed:
            error.add_note(f"Besides, the last checkpoint could not be written: {writer._error!r}")
        raise
    writer.wait()


def free_memory(meminfo: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup")) -> float:
    """Bytes of main memory that can be taken, within the limit of a container; infinite if the system does not say."""
    free = math.inf
    with suppress(OSError, ValueError, KeyError):
        free = 1024 * _numbers(meminfo)["MemAvailable:"]
    with suppress(OSError, ValueError, KeyError):
        limit, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
        free = min(free, limit - used + _numbers(group / "memory.stat")["inactive_file"])  # cached files give way
    return free


def _numbers(path: Path) -> dict[str, int]:
    """The lines `name number` of a file of the system."""
    fields = (line.split() for line in path.read_text().splitlines())
    return {name: int(number) for name, number, *_ in fields}


def _nbytes(value: Any) -> int:
    if isinstance(value, dict | list):
        return sum(map(_nbytes, value.values() if isinstance(value, dict) else value))
    return value.nbytes if isinstance(value, Tensor) else 0
