"""The events of `new`: JSON lines for programs, progress and a summary in a terminal."""

import json
from typing import Any, Protocol, TextIO

from .. import PROTOCOL, __version__
from ..errors import ERROR_CODES, UserError
from ..hooks import without_secrets


class Listener(Protocol):
    """Receives every event; docs/companion.md has an example of each."""

    def emit(self, event: str, /, **fields: Any) -> None: ...


class JsonListener:
    """Writes one JSON object per line, ASCII only, flushed at once."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.emit("hello", protocol=PROTOCOL, version=__version__)

    def emit(self, event: str, /, **fields: Any) -> None:
        self.stream.write(json.dumps({"event": event, **fields}) + "\n")
        self.stream.flush()


class RichListener:
    """Prints progress, warnings and errors on standard error, and the summary on standard output."""

    def __init__(self) -> None:
        from rich.console import Console

        self.out, self.err = Console(highlight=False), Console(stderr=True, highlight=False)
        self.files: list[str] = []

    def emit(self, event: str, /, **fields: Any) -> None:
        if event == "step":
            self._print(f"{fields['index']}/{fields['total']}  {fields['title']}", "dim")
        elif event == "file":
            self.files.append(fields["path"])
        elif event == "log" and fields["level"] == "info":
            self._print(fields["text"], "dim")
        elif event == "warning":
            self._print(f"warning: {fields['message']}", "yellow")
        elif event == "error":
            self._print(f"error: {fields['message']}", "red")
        elif event == "result":
            from .summary import print_summary

            print_summary(self.out, self.files, fields)

    def _print(self, text: str, style: str) -> None:
        # Wrapped at words in a terminal; whole lines in a file.
        self.err.print(text, style=style, markup=False, soft_wrap=not self.err.is_terminal)


def emit_error(listener: Listener, error: UserError) -> int:
    """Emit one event for each error message; returns the exit code."""
    for field, message in error.messages.items():
        listener.emit("error", code=ERROR_CODES[error.code], message=without_secrets(message), field=field)
    return error.code
