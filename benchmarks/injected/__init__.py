"""Faults that were chosen by hand; `faults.py` puts them in."""

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "template/src/finetune"


class Fault(NamedTuple):
    """A change of one place in the source, by which a promise is broken."""

    promise: str
    file: str
    """In template/src/finetune, or in the repository."""
    text: str
    instead: str
    test: str
    """In template/tests, or in the repository."""

    @property
    def source(self) -> str:
        """The file, from the root of the repository."""
        inside = f"{PACKAGE}/{self.file}"
        return inside if (ROOT / inside).is_file() else self.file

    @property
    def place(self) -> tuple[str, str]:
        """The folder to run pytest in, from the root of the repository, and the test from there."""
        return (".", self.test) if self.test.startswith("tests/") else ("template", f"tests/{self.test}")

    @property
    def row(self) -> str:
        """Of the table in docs/reliability.md, without the last column."""
        return f"| {self.promise} | {self.file} | {self.test} |"
