"""A started command: its output while it runs, and an end to it and to all that it has started itself."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import threading
import time
import urllib.error
import urllib.request
from types import TracebackType

from ...system.processes import PATIENCE, end, own_group
from .command import WINDOWS, Command

TICK = 0.05
TAIL = 30
ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07)")
ADDRESS = re.compile(r"https?://(?:localhost|127\.0\.0\.1|\[::1\]|0\.0\.0\.0):\d+[^\s'\")]*")


class Process:
    """Use as a context: on leaving it nothing that was started runs any longer."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self._pieces: list[bytes] = []
        ours, theirs = open_terminal() if command.terminal else os.pipe()
        try:
            self._child = subprocess.Popen(
                command.arguments,
                cwd=command.folder,
                env=command.variables,
                stdin=theirs if command.terminal and not WINDOWS else subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
                **own_group(),
            )
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        self._reader = threading.Thread(target=self._read, args=(ours,), daemon=True)
        self._reader.start()

    def _read(self, ours: int) -> None:
        with os.fdopen(ours, "rb", buffering=0) as stream, contextlib.suppress(OSError):  # a terminal ends by an error
            while piece := stream.read(65536):
                self._pieces.append(piece)

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._child.poll()

    @property
    def output(self) -> str:
        return ESCAPES.sub("", b"".join(self._pieces).decode("utf-8", errors="replace")).replace("\r\n", "\n")

    @property
    def tail(self) -> str:
        """The last lines of the output."""
        return "\n".join(self.output.rstrip().splitlines()[-TAIL:])

    def wait(self, seconds: float) -> int | None:
        """The exit code, or None if it still runs after so many seconds."""
        try:
            code = self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._reader.join(PATIENCE)
        return code

    def wait_for_answer(self, seconds: float) -> str | None:
        """The address at which a server answers; None if it ends before, or not within so many seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.code is None:
            if (address := ADDRESS.search(self.output)) and answers(address[0]):
                return address[0]
            time.sleep(TICK)
        return None

    def stop(self) -> None:
        """End it and what it has started, first by request."""
        end(self._child)
        self._reader.join(PATIENCE)


def open_terminal() -> tuple[int, int]:
    """Both ends of a terminal; on Windows, which has none to open, of a pipe."""
    if WINDOWS:
        return os.pipe()
    import pty

    return pty.openpty()


def answers(address: str) -> bool:
    """Whether a server on this machine responds, without any proxy."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(address.replace("0.0.0.0", "127.0.0.1"), timeout=PATIENCE):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False
