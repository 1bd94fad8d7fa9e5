"""What the command line asks for."""

from dataclasses import dataclass
from pathlib import Path

from ..data.readers.conll import ENDINGS


@dataclass(frozen=True, slots=True)
class Request:
    """The arguments of `init-data`."""

    file: Path
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

    @property
    def format(self) -> str:
        """File ending in lower case, .conll for all files of words in columns."""
        ending = self.file.suffix.lower()
        return ".conll" if ending in ENDINGS else ending

    @property
    def has_names(self) -> bool:
        """Whether columns of the format have names."""
        return self.format not in (".conll", ".txt")
