"""What the command line asks for."""

from dataclasses import dataclass
from pathlib import Path

from ..data.opening import compression_of, suffix_of
from ..data.readers.conll import CONLL


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
        """Whether the rows are written as .jsonl: those of several files, and of folders."""
        return len(self.files) > 1 or not self.file.is_file()

    @property
    def format(self) -> str:
        """Ending of the files that are written, in lower case and without that of a compression."""
        return ".jsonl" if self.is_merged else suffix_of(self.file)

    @property
    def ending(self) -> str:
        """The whole ending of the files that are written, such as .csv.gz."""
        return self.format if self.is_merged else suffix_of(self.file) + compression_of(self.file)

    @property
    def has_names(self) -> bool:
        """Whether columns of the format have names."""
        return self.format not in (*CONLL, ".txt")
