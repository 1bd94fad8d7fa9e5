"""Where texts come from: a file that grows, a folder into which files are put, standard input.

A source returns what has arrived and is complete, and knows as JSON how far it has been read.
"""

import hashlib
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from ..errors import UserError
from .formats import FORMATS, SUFFIXES, Item, Progress, Records, Schema, format_of

SETTLED = 2.0
"""A file that has not been written to for so many seconds is whole."""
CHUNK = 2**20
HEAD = 1024
"""Bytes by which a file is recognized."""
PARTIAL = (".tmp", ".part", ".partial", ".crdownload", ".swp", "~")
"""Endings of files that are still being written."""

Note = Callable[[str], None]
"""Shows a line to the user."""
State = dict[str, Any]


class Source(Protocol):
    """An input."""

    ended: bool
    """Whether nothing more will come."""

    def read(self, limit: int) -> list[Item]:
        """Up to `limit` records that have arrived; none if there are none at the moment."""

    def state(self) -> State:
        """How far it has been read, after the last record that `read` returned."""

    def close(self) -> None:
        """Close what is open."""


def require_source(name: str, form: str | None) -> None:
    """Raises UserError if the input does not exist, cannot be read, or its format is unknown."""
    path = Path(name)
    if name == "-":
        return
    if not path.exists():
        raise UserError(f"{path}: there is no such file or folder (looked in {Path.cwd()}): correct --input")
    if not (path.is_file() or path.is_dir()):
        raise UserError(f"{path}: is neither a file nor a folder: pass its content by a pipe, with --input -")
    if path.is_file():
        format_of(path, form)
    if not os.access(path, os.R_OK):
        raise UserError(f"{path}: cannot be read (no permission): allow it, or correct --input")


def open_source(name: str, form: str | None, schema: Schema, state: State | None, once: bool, note: Note) -> Source:
    """The source for `--input`, which `require_source` has checked."""
    path = Path(name)
    if name == "-":
        return StandardInput(form or "jsonl", schema, state)
    if path.is_dir():
        return Folder(path, form, schema, state, once, note)
    return GrowingFile(path, format_of(path, form), schema, state, once, note)


class StandardInput:
    """Lines from a pipe. A thread reads them, so that what has arrived can be taken without waiting for more."""

    def __init__(self, form: str, schema: Schema, state: State | None) -> None:
        self.ended = False
        self._chunks: queue.Queue[bytes] = queue.Queue(maxsize=16)
        self._closed = False
        self._records = Records("standard input", form, schema, self._fill, Progress(line=(state or {}).get("line", 0)))
        threading.Thread(target=self._read_on, daemon=True).start()

    def _read_on(self) -> None:
        while chunk := os.read(sys.stdin.fileno(), CHUNK):
            self._chunks.put(chunk)
        self._chunks.put(b"")

    def _fill(self) -> bytes:
        try:
            chunk = self._chunks.get_nowait()
        except queue.Empty:
            return b""
        self._closed = self._closed or not chunk
        return chunk

    def read(self, limit: int) -> list[Item]:
        items = self._records.read(limit, final=self._closed)
        if not items and self._closed:
            items = self._records.read(limit, final=True)
            self.ended = not items
        return items

    def state(self) -> State:
        return {"line": self._records.progress.line}

    def close(self) -> None:
        """Its thread may be waiting for more: it ends with the process."""


class OpenFile:
    """A file from which records are read on, and by which it is recognized later."""

    def __init__(self, path: Path, form: str, schema: Schema, state: State | None = None) -> None:
        """`state`: that of this file, to read on from there."""
        self.path = path
        self._handle: BinaryIO = path.open("rb", buffering=0)
        self.modified = os.fstat(self._handle.fileno()).st_mtime_ns
        """When it was written to last, as it was opened, in nanoseconds."""
        progress = Progress(**state["progress"]) if state else Progress()
        name = str(path).encode(errors="replace").decode()
        self.records = Records(name, form, schema, self._fill, progress)
        self._is_frozen = False
        self._head = self._handle.read(min(HEAD, progress.offset))
        """The first bytes of what has been read."""
        self._handle.seek(progress.offset)

    def _fill(self) -> bytes:
        chunk = b"" if self._is_frozen else self._handle.read(CHUNK)
        if len(self._head) < HEAD:
            self._head = (self._head + chunk)[:HEAD]
        return chunk

    def was_replaced(self) -> bool:
        """Whether it was truncated, or written anew in place. From then on, only what was read already is returned."""
        position = self._handle.tell()
        self._handle.seek(0)
        if self._handle.read(len(self._head)) != self._head or os.fstat(self._handle.fileno()).st_size < position:
            self._is_frozen = True
        self._handle.seek(position)
        return self._is_frozen

    @property
    def inode(self) -> int:
        """The number of the file, which it keeps when it is renamed."""
        return os.fstat(self._handle.fileno()).st_ino

    @property
    def is_settled(self) -> bool:
        """Whether nothing has been written to it for a while."""
        return is_settled(os.fstat(self._handle.fileno()))

    def state(self) -> State:
        """How far it has been read, and by what it is recognized."""
        return {
            "inode": self.inode,
            "head": [len(self._head), hashlib.sha256(self._head).hexdigest()],
            "progress": asdict(self.records.progress),
        }

    def close(self) -> None:
        """Close the file."""
        self._handle.close()


def is_settled(status: os.stat_result) -> bool:
    """Whether nothing has been written to a file for a while; also where its disk has another clock."""
    return abs(time.time() - status.st_mtime) >= SETTLED


def continues(path: Path, state: State) -> bool:
    """Whether a file is the one of that state, by its first bytes, and has all that was read of it."""
    length, digest = state["head"]
    try:
        if path.stat().st_size < state["progress"]["offset"]:
            return False
        with path.open("rb") as file:
            return bool(hashlib.sha256(file.read(length)).hexdigest() == digest)
    except OSError:
        return False


class GrowingFile:
    """A file to which lines are appended; where it is replaced (rotation) or truncated, its successor is read on."""

    def __init__(self, path: Path, form: str, schema: Schema, state: State | None, once: bool, note: Note) -> None:
        self.ended = False
        self._path, self._form, self._schema, self._once, self._note = path, form, schema, once, note
        self._file = self._reopen(state) if state else OpenFile(path, form, schema)

    def _reopen(self, state: State) -> OpenFile:
        """The file of that state, which may have been renamed since; otherwise the one that is there now."""
        same = [path for path in self._path.parent.iterdir()
                if path.is_file() and path.stat().st_ino == state["inode"]]  # fmt: skip
        for path in [*sorted(same, key=lambda path: path != self._path), self._path]:
            if continues(path, state):
                if path != self._path:
                    self._note(f"{self._path}: was replaced; the rest of its predecessor is read from {path}")
                return OpenFile(path, self._form, self._schema, state)
        self._note(f"{self._path}: was replaced or truncated since the last time: it is read from its beginning")
        return OpenFile(self._path, self._form, self._schema)

    def read(self, limit: int) -> list[Item]:
        replaced = self._file.was_replaced()
        if items := self._file.records.read(limit):
            return items
        if replaced:
            return self._file.records.read(limit, final=True) or self._change("was truncated")
        if self._is_other():
            if self._file.is_settled:  # the writer of a renamed file may still have it open
                return self._file.records.read(limit, final=True) or self._change("was replaced")
            return []
        if self._once:
            if not self._file.records.waiting:
                self.ended = True
            elif self._file.is_settled:
                items = self._file.records.read(limit, final=True)
        return items

    def _is_other(self) -> bool:
        """Whether the name stands for another file by now."""
        try:
            return self._path.stat().st_ino != self._file.inode
        except OSError:
            return False  # it is between two files

    def _change(self, reason: str) -> list[Item]:
        try:
            successor = OpenFile(self._path, self._form, self._schema)
        except OSError:
            return []
        self._note(f"{self._path}: {reason}: the new content is read from its beginning")
        self._file.close()
        self._file = successor
        return []

    def state(self) -> State:
        return self._file.state()

    def close(self) -> None:
        self._file.close()


class Folder:
    """Files that are put into a folder, by name, each once it is whole; a file that grew is read on."""

    def __init__(
        self, path: Path, form: str | None, schema: Schema, state: State | None, once: bool, note: Note
    ) -> None:
        self.ended = False
        self._path, self._form, self._schema, self._once, self._note = path, form, schema, once, note
        self._known: dict[str, State] = (state or {}).get("files", {})
        self._file: OpenFile | None = None
        self._noted: set[str] = set()

    def read(self, limit: int) -> list[Item]:
        while self._file or self._open_next():
            if self._file and (items := self._file.records.read(limit, final=True)):
                return items
            self.close()
        return []

    def _open_next(self) -> bool:
        """Open the next file by name that has something to read; a whole one, unless there is no time to wait."""
        waiting = False
        for path in self._files():
            try:
                status = path.stat()
                known = self._known.get(path.name)
                if known and (known["inode"], known["modified"]) == (status.st_ino, status.st_mtime_ns):
                    continue
                if not is_settled(status):
                    waiting = True
                    continue
                form = self._form or SUFFIXES[path.suffix.lower()]
                known = known if known and continues(path, known) else None
                self._file = OpenFile(path, form, self._schema, known)
                return True
            except OSError as error:
                self._note_once(path.name, f"{path}: cannot be read ({error.strerror}): it is left out")
        self.ended = self._once and not waiting
        return False

    def _files(self) -> list[Path]:
        """The files of the folder that may be read, by name."""
        try:
            paths = sorted(path for path in self._path.iterdir() if path.is_file())
        except OSError as error:
            self._note_once("", f"{self._path}: cannot be read ({error.strerror}): waiting for it")
            return []
        found = []
        for path in paths:
            if path.name.startswith(".") or path.name.endswith(PARTIAL):
                continue
            if self._form or path.suffix.lower() in SUFFIXES:
                found.append(path)
            else:
                self._note_once(path.name, f"{path}: is left out, for it is none of {', '.join(FORMATS)}")
        return found

    def _note_once(self, name: str, line: str) -> None:
        if name not in self._noted:
            self._noted.add(name)
            self._note(line)

    def close(self) -> None:
        if self._file:
            self._known[self._file.path.name] = {**self._file.state(), "modified": self._file.modified}
            self._file.close()
            self._file = None

    def state(self) -> State:
        # Not modified at 0: a file of which there is more to read.
        opened = {self._file.path.name: {**self._file.state(), "modified": 0}} if self._file else {}
        return {"files": {**self._known, **opened}}
