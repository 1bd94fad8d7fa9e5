"""Files and folders that are complete or not there: a kill at any moment leaves the last complete version.

A folder is written under a temporary name, every byte is forced to the disk together with a manifest of checksums,
and only then the folder gets its name. Reading trusts a folder only if it matches its manifest.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes; a resumed run must see the same data."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


MANIFEST = "manifest.json"


def publish(folder: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary folder, and give it the name `folder` when it is safe on the disk.

    An older `folder` stays until then, and after a failure, of which nothing else is left. `recover` mends the one
    moment in which neither has the name.
    """
    temporary, old = _sibling(folder, "tmp"), _sibling(folder, "old")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        write(temporary)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    files = sorted(path for path in temporary.rglob("*") if path.is_file())
    checksums = {path.relative_to(temporary).as_posix(): sha256_of(path) for path in files}
    (temporary / MANIFEST).write_text(json.dumps(checksums, indent=1))
    for path in [*files, temporary / MANIFEST, *(path for path in temporary.rglob("*") if path.is_dir()), temporary]:
        _sync(path)
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.replace(folder, old)
    os.replace(temporary, folder)
    _sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def recover(folder: Path) -> None:
    """Give `folder` back its older version if a kill came between taking the old name away and giving the new one."""
    old = _sibling(folder, "old")
    if old.exists() and not folder.exists():
        os.replace(old, folder)


def is_valid(folder: Path) -> bool:
    """Whether every file of the folder is there and has the bytes that were written."""
    try:
        checksums = json.loads((folder / MANIFEST).read_text())
        return all(sha256_of(folder / name) == checksum for name, checksum in checksums.items())
    except (OSError, ValueError):
        return False


def write_atomic(path: Path, text: str) -> None:
    """Write a file under a temporary name, then give it its own: a reader sees the old text or the new one."""
    temporary = _sibling(path, "tmp")
    temporary.write_text(text, encoding="utf-8")
    _sync(temporary)
    os.replace(temporary, path)


def _sibling(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.name}.{ending}")


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder; NTFS keeps a log of renames by itself.
    handle = os.open(path, os.O_RDONLY if path.is_dir() or os.name != "nt" else os.O_RDWR)
    try:
        with contextlib.suppress(PermissionError):  # some network file systems refuse it
            os.fsync(handle)
    finally:
        os.close(handle)
