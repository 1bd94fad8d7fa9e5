"""Which files a dataset consists of: those that a key of the config, or the command line, names."""

import hashlib
from collections.abc import Iterable
from glob import glob, has_magic
from pathlib import Path

from ..errors import UserError
from ..files import sha256_of
from ..parsing import parsing, require_regular, shortened
from .readers.folder import is_visible, labels_in, visible
from .readers.parallel import sides_of
from .rows import READERS, no_such_file, reader_name

METADATA = ("dataset_info.json", "state.json", "dataset_dict.json")
"""Files without examples, which `datasets` writes beside those with them."""


def files_of(sources: Iterable[str | Path]) -> list[Path]:
    """What the sources name, in their order, each to be read by one reader.

    A source is a file, a pattern (`data/*.csv`), two files of parallel text (`train.{en,de}`) or a folder: of data
    files of one format, of .txt files by label, or of brat's annotations. The two last are read as a whole.
    What is on the Hub (`hf://datasets/ORG/NAME/*.parquet`) is downloaded once.
    Raises UserError for a source that names none, and for a file that is named twice.
    """
    found = [path for source in sources for path in _files_of(_text(source))]
    seen: set[Path] = set()
    for path in found:
        if path.resolve() in seen:
            raise UserError(f"{path}: is named twice among the files of a split, so its rows would count twice: "
                            f"name it once")  # fmt: skip
        seen.add(path.resolve())
    return found


def checksum(path: Path) -> str:
    """SHA-256 of what `files_of` returns: of a file, or of the names and checksums of the files that it stands for."""
    parts = parts_of(path)
    if parts == [path]:
        return sha256_of(path)
    listed = "".join(f"{sha256_of(part)} {part.relative_to(path.parent).as_posix()}\n" for part in parts)
    return hashlib.sha256(listed.encode()).hexdigest()


def shown(files: Iterable[str | Path]) -> str:
    """The files as reports and tables name them."""
    return ", ".join(Path(file).as_posix() for file in files)


def _text(source: str | Path) -> str:
    return source.as_posix() if isinstance(source, Path) else source


def _files_of(source: str) -> list[Path]:
    if source.startswith("hf:/"):
        from .hub_files import hub_files  # imports the client of the Hub, which takes most of a second

        return hub_files(source)
    path = Path(source)
    with parsing(f"{shortened(source)}: cannot be read", "correct the path"):
        is_file, is_folder, is_there = path.is_file(), path.is_dir(), path.exists()
    if is_file:
        return [path]
    if is_folder:
        return _files_in(path)
    if is_there:
        require_regular(path)
    if sides := sides_of(path):
        return [_parallel(path, [*sides.values()])]
    if has_magic(source):
        found = [one for one in map(Path, sorted(glob(source, recursive=True))) if one.is_file() and is_visible(one)]
        if found:
            return found
        raise UserError(f"{source}: no file matches this pattern (looked in {Path.cwd()}): correct it")
    raise no_such_file(path)


def _files_in(folder: Path) -> list[Path]:
    """The data files of a folder, or the folder itself where it is read as a whole."""
    files = [path for path in visible(folder) if path.is_file() and path.name not in METADATA]
    if reader_name(folder) != "folder" or labels_in(folder):
        return [folder]
    formats = sorted({reader_name(path) for path in files} & {*READERS})
    if len(formats) > 1:
        raise UserError(
            f"{folder}: holds files of several formats ({' '.join(formats)}): name those that are meant, such as "
            f"{folder.as_posix()}/*{formats[0]}"
        )
    if formats:
        return [folder] if formats == [".txt"] else [path for path in files if reader_name(path) in formats]
    inner = [path.name for path in visible(folder) if path.is_dir()]
    remedy = f"name one of its folders ({', '.join(inner[:5])})" if inner else f"use one of {' '.join(READERS)}"
    raise UserError(f"{folder}: the folder holds no data files: {remedy}")


def _parallel(path: Path, sides: list[Path]) -> Path:
    for side in sides:
        if not side.is_file():
            raise UserError(f"{side}: there is no such file (looked in {Path.cwd()}), which {path} names: correct it")
        if reader_name(side) in READERS and reader_name(side) != ".txt":
            raise UserError(
                f"{path}: two files in braces are parallel text, one text a line, and {side.name} is a table: "
                f"name several tables as a list"
            )
    return path


def parts_of(path: Path) -> list[Path]:
    """The files that a path of `files_of` stands for."""
    if path.is_dir():
        return [part for part in sorted(path.rglob("*")) if part.is_file() and is_visible(part)]
    return [path] if path.is_file() else [*sides_of(path).values()]
