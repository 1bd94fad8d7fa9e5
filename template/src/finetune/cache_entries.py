"""What trainings have kept in `.cache` of their run folders: how much it is, and its removal."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from .run.find import run_places
from .run.folder import cache_folder

DAY = 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """The tokenized data of trainings that read the same."""

    folder: Path
    size: int
    """Bytes."""
    unused: float
    """Days since a training last used it."""
    is_kept: bool
    """Whether a training is running that may be using it."""

    def remove(self) -> None:
        """Delete its files; what a program on this machine still has mapped stays readable for it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.with_name(f"{self.folder.name}.lock").unlink(missing_ok=True)


def cache_entries() -> list[CacheEntry]:
    """All entries, also what a killed training has left unfinished, the longest unused first."""
    found = []
    for place in run_places():
        folders = [path for path in cache_folder(place).glob("*") if path.is_dir()]
        is_kept = bool(folders) and _is_training(place)
        for folder in folders:
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            found.append(CacheEntry(folder, size, (time.time() - folder.stat().st_mtime) / DAY, is_kept))
    return sorted(found, key=lambda entry: -entry.unused)


def _is_training(place: Path) -> bool:
    """Whether a training holds the lock of a run in the folder."""
    for path in place.glob(".*.lock"):
        try:
            with FileLock(path, timeout=0):
                pass
        except Timeout:
            return True
    return False
