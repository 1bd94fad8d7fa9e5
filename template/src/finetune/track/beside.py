"""Trackers of a training: processes beside it, which cannot slow or end it."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Thread

from rich.console import Console
from rich.markup import escape

from ..console import print_line
from ..errors import UserError
from ..run.folder import RunFolder
from .follow import require_tracker

LIMIT = 60.0
"""Seconds that a tracker gets at the end of a training to send the rest."""


class Child:
    """`finetune track RUN --to NAME`, away from the terminal, so that Ctrl-C reaches the training only."""

    def __init__(self, run: RunFolder, to: str, console: Console, *options: str) -> None:
        self._run, self._to, self._console = run, to, console
        command = [sys.executable, "-m", "finetune", "track", str(run.path), "--to", to, *options]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self._reader = Thread(target=self._wait, daemon=True)
        self._reader.start()

    def end(self) -> None:
        """Let it send the rest and end."""
        assert self._process.stdin
        with suppress(OSError):  # it has ended already
            self._process.stdin.close()

    def wait(self) -> None:
        """Until it has ended; after the limit, or with Ctrl-C, it is terminated."""
        try:
            self._reader.join(LIMIT)
        finally:
            if self._process.poll() is None:
                self._process.terminate()
                self._reader.join(LIMIT)

    def _wait(self) -> None:
        """Show the last line of what it said if it failed."""
        assert self._process.stderr
        with self._process.stderr as stream:
            said = stream.read().decode("utf-8", "replace").strip().splitlines()
        if self._process.wait() != 0:
            rest = f"to send the rest: python -m finetune track {self._run.path} --to {self._to}"
            print_line(self._console, f"[yellow]{escape(said[-1] if said else f'{self._to}: was ended: {rest}')}[/]")


@contextmanager
def tracked(run: RunFolder, names: Sequence[str], console: Console) -> Iterator[None]:
    """Send the metrics to these trackers inside the block, and at its end the rest."""
    children = [Child(run, name, console, "--beside") for name in usable(names, console)]
    try:
        yield
    finally:
        for child in children:
            child.end()
        for child in children:
            child.wait()


def send_evaluations(run: RunFolder, names: Sequence[str], console: Console) -> None:
    """Send the evaluations that were made after the training."""
    children = [Child(run, name, console) for name in usable(names, console, show=False)]
    for child in children:
        child.end()
    for child in children:
        child.wait()


def usable(names: Sequence[str], console: Console, *, show: bool = True) -> Iterator[str]:
    """The trackers whose packages are installed; of others it says what to install."""
    for name in names:
        try:
            require_tracker(name)
            yield name
        except UserError as error:
            if show:
                print_line(console, f"[yellow]run.track: {escape(str(error))}[/]")
