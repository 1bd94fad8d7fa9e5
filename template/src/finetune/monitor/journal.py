"""What a monitor leaves: files that only grow, and the state that says how far they are valid.

The lines of a batch are appended and flushed to the disk first, then the state is replaced atomically. It records how
far the input has been read and the size of each file, so that after a kill at any moment what was written beyond it is
cut off, and the same lines are read again: none is repeated, none is lost.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import UserError
from ..files import Folder

PREDICTIONS, ALARMS, SKIPPED, TREND = "predictions.jsonl", "alarms.jsonl", "skipped.jsonl", "trend.jsonl"
STATE = "state.json"


class Journal:
    """The folder that a monitor writes to."""

    def __init__(self, folder: Folder, source: str) -> None:
        """Restore the folder to its last state; `source` is the input. Raises UserError where that is not possible."""
        self.folder = folder
        self._source = source
        self._waiting: dict[str, list[str]] = defaultdict(list)
        self.sizes = dict.fromkeys((PREDICTIONS, ALARMS, SKIPPED, TREND), 0)
        """Bytes of each file, with the lines that are still to be written."""
        self.state = self._restored()
        """What was committed last; empty at the first start."""
        if not self.state:
            self.commit({})  # so that a kill before the first batch leaves no file without its state

    def _restored(self) -> dict[str, Any]:
        file = self.folder.at(STATE)
        if not file.is_file():
            for name in self.sizes:
                if (path := self.folder.at(name)).exists():
                    raise UserError(
                        f"{path}: exists without {STATE}, which says how far it is valid: delete the "
                        f"folder, or choose another one with --output"
                    )
            return {}
        try:
            found = self.folder.read_object(STATE, "delete the folder to begin anew")
            source, state = found["input"], found["state"]
            sizes = {name: int(found["sizes"][name]) for name in self.sizes}  # of no other file: these are truncated
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{file}: is not the state of a monitor: delete the folder to begin anew") from error
        if source != self._source:
            raise UserError(
                f"{self.folder.path}: belongs to the input {source}: choose another folder with --output, or delete it "
                f"to begin anew"
            )
        for name, size in sizes.items():
            path = self.folder.at(name)
            if (path.stat().st_size if path.exists() else 0) < size:
                raise UserError(
                    f"{path}: is shorter than {STATE} says: put it back, or delete the folder to begin anew"
                )
            if path.exists():
                self.folder.truncate(name, size)
        self.sizes = sizes
        return dict(state)

    def append(self, name: str, value: Mapping[str, Any]) -> int:
        """Add a line to a file, which `commit` writes. Returns where in the file it begins, in bytes."""
        offset = self.sizes[name]
        line = json.dumps(value, ensure_ascii=False) + "\n"
        self._waiting[name].append(line)
        self.sizes[name] += len(line.encode())
        return offset

    @property
    def is_behind(self) -> bool:
        """Whether lines wait for `commit`."""
        return bool(self._waiting)

    def commit(self, state: Mapping[str, Any]) -> None:
        """Write what was appended, then the state. Raises UserError if the disk is full or not writable."""
        path = self.folder.path
        try:
            for name, lines in self._waiting.items():
                path = self.folder.at(name)
                with self.folder.append(name) as file:
                    file.write("".join(lines))
                    file.flush()
                    os.fsync(file.fileno())
            self._waiting.clear()
            path = self.folder.at(STATE)
            document = {"input": self._source, "sizes": self.sizes, "state": state}
            self.folder.write(STATE, json.dumps(document) + "\n")
            self.state = dict(state)
        except OSError as error:
            raise UserError(
                f"{path}: cannot be written ({error.strerror}): free some space or allow it, then start the same "
                f"command again, which loses nothing"
            ) from error

    def lines(self, name: str, offset: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """The committed lines of a file from `offset` on, each with where it begins."""
        path = self.folder.at(name)
        if path.exists():
            with path.open("rb") as file:
                file.seek(offset)
                for line in file:
                    yield offset, json.loads(line)
                    offset += len(line)
