"""The one way to write to a terminal."""

from rich.console import Console


def make_console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """A console that writes what it is given: rich would see an emoji in data.jsonl:100:."""
    return Console(stderr=stderr, quiet=quiet, emoji=False)
