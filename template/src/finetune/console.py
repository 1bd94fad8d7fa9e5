"""The one way to write to a terminal."""

from rich.console import Console


def make_console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """A console that writes what it is given: rich would see an emoji in data.jsonl:100:."""
    return Console(stderr=stderr, quiet=quiet, emoji=False)


def counted(count: int, noun: str) -> str:
    """A number of things."""
    return f"1 {noun}" if count == 1 else f"{count:,} {noun}s"


def share(part: int, whole: int) -> str:
    """A share as people write it: never 0 % of something, never 100 % of all but one."""
    if part == whole:
        return "100 %"
    percent = 100 * part / whole
    return "under 0.1 %" if 0 < percent < 0.1 else f"{min(percent, 99.9):.1f} %"
