"""What `new` tells while it works: JSON lines for programs, a few lines for people."""

import json
from typing import Any, Protocol, TextIO

from .. import PROTOCOL, __version__
from ..errors import NAMES, UserError


class Listener(Protocol):
    """Gets every event; docs/companion.md has an example of each."""

    def emit(self, event: str, /, **fields: Any) -> None: ...


class JsonLines:
    """One object a line, ASCII only, sent at once."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.emit("hello", protocol=PROTOCOL, version=__version__)

    def emit(self, event: str, /, **fields: Any) -> None:
        self.stream.write(json.dumps({"event": event, **fields}) + "\n")
        self.stream.flush()


class People:
    """Progress and trouble on standard error; at the end the project and the next steps on standard output."""

    def __init__(self) -> None:
        from rich.console import Console

        self.out, self.err = Console(highlight=False), Console(stderr=True, highlight=False)
        self.files: list[str] = []

    def emit(self, event: str, /, **fields: Any) -> None:
        if event == "step":
            self.say(f"{fields['index']}/{fields['total']}  {fields['title']}", "dim")
        elif event == "file":
            self.files.append(fields["path"])
        elif event == "log" and fields["level"] == "info":
            self.say(fields["text"], "dim")
        elif event == "warning":
            self.say(f"warning: {fields['message']}", "yellow")
        elif event == "error":
            self.say(f"error: {fields['message']}", "red")
        elif event == "result":
            from .summary import show

            show(self.out, self.files, fields)

    def say(self, text: str, style: str) -> None:
        self.err.print(text, style=style, markup=False, soft_wrap=True)


def tell_failure(listener: Listener, error: UserError) -> int:
    """One event for each sentence; returns the exit code."""
    for field, sentence in error.sentences.items():
        listener.emit("error", code=NAMES[error.code], message=sentence, field=field)
    return error.code
