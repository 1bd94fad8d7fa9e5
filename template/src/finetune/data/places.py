"""The places of examples, `file:line`, as two columns of numbers, without the names of files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .store import ColumnWriter, read_column

Kind = tuple[int, str]
"""The number of a file, and what stands between its path and the number of the line: a colon, or `: row `.

Without the number of a file, for one of two with parallel text, its path comes first.
"""
NO_FILE = -1
NO_NUMBER = -1


class PlaceWriter:
    """Appends places to the columns `place` and `line`."""

    def __init__(self, columns: ColumnWriter, paths: Sequence[Path]) -> None:
        self._columns, self._paths = columns, [*map(str, paths)]
        self._kinds: dict[Kind, int] = {}

    @property
    def kinds(self) -> list[Kind]:
        """What the numbers in the column `place` mean."""
        return [*self._kinds]

    def add(self, places: Sequence[tuple[int, str]]) -> None:
        """Append places, each with the number of its file."""
        kinds, lines = [], []
        for file, place in places:
            after = place.removeprefix(self._paths[file])
            file = NO_FILE if after == place else file
            before = after.rstrip("0123456789")
            kinds.append(self._kinds.setdefault((file, before), len(self._kinds)))
            lines.append(int(after[len(before) :] or NO_NUMBER))
        self._columns.add_numbers("place", kinds)
        self._columns.add_numbers("line", lines)


class Places(Sequence[str]):
    """The places that a PlaceWriter has written, in files at `paths`."""

    def __init__(self, folder: Path, types: dict[str, str], kinds: Sequence[Kind], paths: Sequence[Path]) -> None:
        self._place, self._line = (read_column(folder, name, types) for name in ("place", "line"))
        self._before = [before if file == NO_FILE else f"{paths[file]}{before}" for file, before in kinds]

    def __len__(self) -> int:
        return len(self._place)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        line = int(self._line[index])
        return self._before[self._place[index]] + ("" if line == NO_NUMBER else str(line))
