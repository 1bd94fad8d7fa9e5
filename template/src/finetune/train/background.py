"""Writing in the background: the training goes on while a thread writes a copy of its state.

The loop waits while tensors are copied to CPU memory, which takes as much memory again as what is written. Where that
is not free, it waits for the write instead.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..distributed.parallel import gather_full
from ..distributed.world import World
from ..model.device import free_memory

CPU = torch.device("cpu")


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
        to_copy = self._copy is not None or 2 * _nbytes(state) < free_memory(CPU)
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


def _nbytes(value: Any) -> int:
    if isinstance(value, dict | list):
        return sum(map(_nbytes, value.values() if isinstance(value, dict) else value))
    return value.nbytes if isinstance(value, Tensor) else 0
