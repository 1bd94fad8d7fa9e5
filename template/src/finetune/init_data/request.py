"""What the command line asks for."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Request:
    """The arguments of `init-data`."""

    file: Path
    """As it was named: a file, a pattern, a folder ..."""
    config: Path
    task: str | None
    """None: that of the config if it fits, else recognised."""
    texts: tuple[str, ...]
    """Columns of the texts; empty: recognise them."""
    label: str | None
    """Column of the label or the target text; None: recognise it."""
    group: str | None
    """Column whose equal values stay in one split."""
    shares: dict[str, float]
    """Share of the rows for each split, train first."""
    seed: int
    output: Path
    files: tuple[Path, ...]
    """What that names, each to be read by one reader."""

    @property
    def is_merged(self) -> bool:
        """Whether the rows are written as .jsonl: those of several files, of folders, and of formats only read."""
        return len(self.files) > 1 or not self.file.is_file() or self.file.suffix.lower() in (".arrow", ".feather")

    @property
    def format(self) -> str:
        """Ending of the files that are written, in lower case."""
        return ".jsonl" if self.is_merged else self.file.suffix.lower()

    @property
    def ending(self) -> str:
        """Ending of the files that are written."""
        return self.format if self.is_merged else self.file.suffix

    @property
    def has_names(self) -> bool:
        """Whether columns of the format have names."""
        return self.format not in (".conll", ".txt")
