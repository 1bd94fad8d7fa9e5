"""Which files a dataset consists of: those that a key of the config, or the command line, names."""

from collections.abc import Iterable
from pathlib import Path

from ..errors import UserError


def files_of(sources: Iterable[str | Path]) -> list[Path]:
    """The files of the sources, in their order. Raises UserError for one that is missing."""
    return [_existing(Path(source)) for source in sources]


def shown(files: Iterable[str | Path]) -> str:
    """The files as reports and tables name them."""
    return ", ".join(Path(file).as_posix() for file in files)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UserError(f"{path}: there is no such file (looked in {Path.cwd()}): correct the path")
    return path
