"""Atomic writes of files and folders: after a kill at any moment the last complete version is there.

A folder is written under a temporary name, flushed to the disk together with a manifest of checksums, and then renamed.
A folder is valid only if it matches its manifest.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from .console import progress
from .system_errors import names_path


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file, progress(f"checksum of {path}", path.stat().st_size) as advance:
        while block := file.read(2**20):
            digest.update(block)
            advance(len(block))
    return digest.hexdigest()


MANIFEST = "manifest.json"


@names_path
def publish(folder: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary folder, flush it to the disk and rename it to `folder`.

    Files get the permissions that new files have, whoever wrote them.
    An older `folder` is kept until then, and if `write` fails. A kill between the two renames leaves neither version
    under that name: `recover` repairs this.
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
    for path in files:
        shutil.copymode(temporary / MANIFEST, path)  # that of the umask; safetensors lets only the owner read
    for path in [*files, temporary / MANIFEST, *(path for path in temporary.rglob("*") if path.is_dir()), temporary]:
        _sync(path)
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.replace(folder, old)
    os.replace(temporary, folder)
    _sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def recover(folder: Path) -> None:
    """Restore the older version of `folder` after a kill between the two renames of `publish`."""
    old = _sibling(folder, "old")
    if old.exists() and not folder.exists():
        os.replace(old, folder)


def is_valid(folder: Path) -> bool:
    """Whether every file of the folder matches its checksum in the manifest."""
    try:
        checksums = json.loads((folder / MANIFEST).read_text())
        return all(sha256_of(folder / name) == checksum for name, checksum in checksums.items())
    except (OSError, ValueError):
        return False


@names_path
def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file under a temporary name and rename it: a reader sees the old content or the new, never a part."""
    temporary = _sibling(path, "tmp")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    _sync(temporary)
    os.replace(temporary, path)


def _sibling(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.name}.{ending}")


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder; NTFS journals renames itself.
    handle = os.open(path, os.O_RDONLY if path.is_dir() or os.name != "nt" else os.O_RDWR)
    try:
        with contextlib.suppress(PermissionError):  # some network file systems refuse it
            os.fsync(handle)
    finally:
        os.close(handle)
