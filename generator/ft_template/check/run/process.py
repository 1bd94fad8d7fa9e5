"""Run a command: its output while it runs, and the termination of all its children."""

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

from ...system.processes import GRACE_SECONDS, new_group, terminate_group
from .command import WINDOWS, Command

POLL_SECONDS = 0.05
TAIL_LINES = 30
ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07)")
ADDRESS = re.compile(r"https?://(?:localhost|127\.0\.0\.1|\[::1\]|0\.0\.0\.0):\d+[^\s'\")]*")


class Process:
    """Context manager: on exit the process and all its children are terminated."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self._chunks: list[bytes] = []
        ours, theirs = open_terminal() if command.terminal else os.pipe()
        try:
            self._child = subprocess.Popen(
                command.arguments,
                cwd=command.folder,
                env=command.variables,
                stdin=theirs if command.terminal and not WINDOWS else subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
                **new_group(),
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
            while chunk := stream.read(65536):
                self._chunks.append(chunk)

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
        """Standard output and error so far, without terminal escapes."""
        return ESCAPES.sub("", b"".join(self._chunks).decode("utf-8", errors="replace")).replace("\r\n", "\n")

    @property
    def tail(self) -> str:
        """The last lines of the output."""
        return "\n".join(self.output.rstrip().splitlines()[-TAIL_LINES:])

    def wait(self, seconds: float) -> int | None:
        """Wait for the exit code; None if it still runs after this time."""
        try:
            code = self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._reader.join(GRACE_SECONDS)
        return code

    def wait_for_answer(self, seconds: float) -> str | None:
        """Wait until a server answers and return its address; None if it exits first or does not answer in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.code is None:
            if (address := ADDRESS.search(self.output)) and answers(address[0]):
                return address[0]
            time.sleep(POLL_SECONDS)
        return None

    def stop(self) -> None:
        """Terminate it and all its children."""
        terminate_group(self._child)
        self._reader.join(GRACE_SECONDS)


def open_terminal() -> tuple[int, int]:
    """Both ends of a pseudo-terminal; of a pipe on Windows, which has no pseudo-terminals here."""
    if WINDOWS:
        return os.pipe()
    import pty

    return pty.openpty()


def answers(address: str) -> bool:
    """Whether a local server answers without a server error; proxies are not used."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address.replace("0.0.0.0", "127.0.0.1"), timeout=GRACE_SECONDS):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False
