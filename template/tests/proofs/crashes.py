"""Crashes of the machine, as when the power fails: what a disk may hold afterwards is computed from what was done.

`Disk` records the operations below a folder: what is created, written, renamed, removed, flushed by fsync. After a
crash, what was flushed is there. Of what was not, a file may be as it was at its last flush, cut, or complete; a new
name, a rename or a removal may be done or not, as long as the folder itself was not flushed since (T. S. Pillai et al.,
All File Systems Are Not Created Equal, OSDI 2014, section 3.2).
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

Entries = dict[str, int]
ROOT = 0
"""The number of the folder that is watched. Files and folders are numbered as they appear."""
ENDED = 2**30
"""A number that no process has."""
SETTLED = 10**8
"""Nanoseconds by which the time of a change, which file systems round, may be off."""


class Op(NamedTuple):
    """An operation: a change of names in folders, the new content of a file, or a flush."""

    kind: str
    """link, unlink, rename, data or sync."""
    folders: tuple[int, ...] = ()
    """Whose names change."""
    names: tuple[str, ...] = ()
    number: int = -1
    """Of the file or folder."""
    content: bytes = b""


@dataclass
class Tree:
    """Folders by their entries, and files by their content."""

    folders: dict[int, Entries] = field(default_factory=lambda: {ROOT: {}})
    files: dict[int, bytes] = field(default_factory=dict)

    def copy(self) -> "Tree":
        """One that can be changed."""
        return Tree({number: dict(entries) for number, entries in self.folders.items()}, dict(self.files))

    def apply(self, op: Op) -> None:
        """Change names. An operation whose file is not there any more changes nothing."""
        if op.kind == "link":
            self.folders[op.folders[0]][op.names[0]] = op.number
        elif op.kind == "unlink":
            self.folders[op.folders[0]].pop(op.names[0], None)
        elif op.kind == "rename" and op.names[0] in self.folders[op.folders[0]]:
            self.folders[op.folders[1]][op.names[1]] = self.folders[op.folders[0]].pop(op.names[0])

    def listed(self, folder: int = ROOT, place: str = "") -> Iterator[tuple[str, bytes | None]]:
        """The path of each file with its content, and of each folder with None."""
        for name, number in sorted(self.folders[folder].items()):
            if number in self.folders:
                yield f"{place}{name}", None
                yield from self.listed(number, f"{place}{name}/")
            else:
                yield f"{place}{name}", self.files.get(number, b"")

    def write(self, target: Path) -> None:
        """Make a folder like this. Temporary names have the number of this process, which must not be alive there."""
        target.mkdir()
        for name, content in self.listed():
            path = target / name.replace(f".{os.getpid()}.", f".{ENDED}.")
            if content is None:
                path.mkdir()
            else:
                path.write_bytes(content)

    def fingerprint(self) -> int:
        """Equal for equal trees; Python computes the hash of a content only once."""
        return hash(tuple((name, hash(content)) for name, content in self.listed()))


class State(NamedTuple):
    """What a disk may hold after a crash."""

    after: int
    """So many operations had been done."""
    how: str
    """What became of what was not flushed."""
    tree: Tree


class Disk:
    """Records the operations below a folder, in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ops: list[Op] = []
        self._lock = threading.RLock()
        self._numbers: dict[int, int] = {folder.stat().st_ino: ROOT}
        """Inodes to numbers, of what is there now."""
        self._next = ROOT + 1
        self._read: dict[int, int] = {}
        """When each file was read."""
        self.now = Tree()
        self._look()
        self.before, self.ops = self.now.copy(), []
        """What is there at first counts as flushed."""

    @contextmanager
    def recording(self) -> Iterator["Disk"]:
        """Record what is done in the block."""
        renames = {name: self._recorded(getattr(os, name)) for name in ("rename", "replace")}
        others = {name: self._looking(getattr(os, name)) for name in ("mkdir", "rmdir", "unlink", "remove", "truncate")}
        with patch.multiple(os, fsync=self._flush, **renames, **others):
            yield self
        with self._lock:
            self._look()

    def _looking(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*arguments: Any, **options: Any) -> Any:
            with self._lock:
                self._look()
                try:
                    return call(*arguments, **options)
                finally:
                    self._look()

        return recorded

    def _recorded(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def rename(old: Any, new: Any, **options: Any) -> Any:
            with self._lock:
                self._look()
                result = call(old, new, **options)
                places = [
                    self._place(path, options.get(key)) for path, key in ((old, "src_dir_fd"), (new, "dst_dir_fd"))
                ]
                if all(place.is_relative_to(self.folder) for place in places):
                    parents = tuple(self._numbers[place.parent.stat().st_ino] for place in places)
                    self._do(Op("rename", parents, tuple(place.name for place in places)))
                self._look()
                return result

        return rename

    def _place(self, path: Any, folder: int | None) -> Path:
        """A path, or a name in an opened folder, as one from the root."""
        if folder is None:
            return Path(os.path.abspath(path))
        inode = os.fstat(folder).st_ino
        inner = (Path(place) for place, _, _ in os.walk(self.folder))
        return next((place for place in inner if place.stat().st_ino == inode), Path(os.sep)) / path

    def _flush(self, handle: int) -> None:
        with self._lock:
            self._look()
            number = self._numbers.get(os.fstat(handle).st_ino)
            if number is not None:
                self.ops.append(Op("sync", number=number))

    def _do(self, op: Op) -> None:
        self.ops.append(op)
        self.now.apply(op)

    def _look(self) -> None:
        """Note what has changed since the last look: libraries in C++ and Rust write without Python."""
        self._look_into(self.folder, ROOT)
        there = {number for entries in self.now.folders.values() for number in entries.values()}
        self._numbers = {inode: n for inode, n in self._numbers.items() if n == ROOT or n in there}

    def _look_into(self, folder: Path, number: int) -> None:
        found = {entry.name: entry for entry in os.scandir(folder)}
        for name in self.now.folders[number].keys() - found.keys():
            self._do(Op("unlink", (number,), (name,)))
        for name, entry in sorted(found.items()):
            inode = entry.inode()
            known = self._numbers.get(inode)
            if known is None or self.now.folders[number].get(name) != known:
                known = self._numbers[inode] = self._next
                self._next += 1
                if entry.is_dir(follow_symlinks=False):
                    self.now.folders[known] = {}
                self._do(Op("link", (number,), (name,), known))
            if entry.is_dir(follow_symlinks=False):
                self._look_into(Path(entry.path), known)
            elif entry.stat().st_mtime_ns + SETTLED >= self._read.get(known, 0):
                self._read[known] = time.time_ns()
                content = Path(entry.path).read_bytes()
                if content != self.now.files.get(known):
                    self.now.files[known] = content
                    self.ops.append(Op("data", number=known, content=content))

    def states(self) -> Iterator[State]:
        """Every content of the folder that a crash after any number of operations may leave, each once.

        After the last operation all come again: then what was done should stay done.
        """
        seen: set[int] = set()
        for count in range(len(self.ops) + 1):
            if count == len(self.ops):
                seen.clear()
            for how, tree in self._after(count):
                if (found := tree.fingerprint()) not in seen:
                    seen.add(found)
                    yield State(count, how, tree)

    def _after(self, count: int) -> Iterator[tuple[str, Tree]]:
        done = self.ops[:count]
        flushed: set[int] = set()
        waiting: list[int] = []
        contents = {kind: dict(self.before.files) for kind in ("complete", "lost", "cut")}
        latest: dict[int, bytes] = {}
        kept: dict[int, bytes] = {}
        for place in range(count - 1, -1, -1):  # backwards: a flush counts for what was before
            op = done[place]
            if op.kind == "sync":
                flushed.add(op.number)
            elif op.kind == "data":
                latest.setdefault(op.number, op.content)
                if op.number in flushed:
                    kept.setdefault(op.number, op.content)
            elif flushed.isdisjoint(op.folders):
                waiting.append(place)
        for number, content in latest.items():
            old = kept.get(number, self.before.files.get(number, b""))
            contents["complete"][number] = content
            contents["lost"][number] = old
            contents["cut"][number] = content if content is old else cut(old, content)
        for kind, files in contents.items():
            yield f"content {kind}", self._replayed(done, set(), files)
            yield f"content {kind}, no name since the last flush", self._replayed(done, set(waiting), files)
            for place in waiting:
                yield f"content {kind}, without {done[place]}", self._replayed(done, {place}, files)

    def _replayed(self, done: list[Op], without: set[int], files: dict[int, bytes]) -> Tree:
        tree = self.before.copy()
        tree.files = files
        for number in self.now.folders:
            tree.folders.setdefault(number, {})
        for place, op in enumerate(done):
            if op.folders and place not in without:
                tree.apply(op)
        return tree


@cache
def cut(old: bytes, new: bytes) -> bytes:
    """Half of what was written: behind the old content, if that was continued."""
    return new[: (len(old) + len(new)) // 2 if new.startswith(old) else len(new) // 2]
