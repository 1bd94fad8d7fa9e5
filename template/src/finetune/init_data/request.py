"""What the command line asks for."""

from dataclasses import dataclass
from pathlib import Path

from ..data.opening import compression_of, suffix_of


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
        """File ending in lower case, without that of a compression."""
        return suffix_of(self.file)

    @property
    def ending(self) -> str:
        """The whole ending, such as .csv.gz."""
        return suffix_of(self.file) + compression_of(self.file)

    @property
    def has_names(self) -> bool:
        """Whether columns of the format have names."""
        return self.format not in (".conll", ".txt")
