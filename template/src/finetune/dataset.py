"""Dataset: data files as a task's examples, and examples as the model's features."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .config.config import Config, Data
from .console import counted, progress
from .data.features import Feature
from .data.files import files_of, parts_of, shown
from .data.invalid import InvalidRows
from .data.opening import FileOptions
from .data.patterns import matches
from .data.rows import Columns, Row, stream_rows
from .errors import UserError
from .tasks import make_task
from .tasks.base import Task

HELD = 2**25
"""Bytes of data files up to which their examples stay in memory, so that the files are read once."""
CHUNK_ROWS, CHUNK_CHARACTERS = 2_000, 2**20
"""Rows, and characters, that are read and tokenized together: many at once for the threads of the tokenizer."""

LENGTH = "length"
"""In `data.slices`, the length of the text."""
SHOWN = 16
"""Most examples that an error names."""


def new_task(config: Config) -> Task[Any, Any]:
    """The task of a config, which knows no labels yet."""
    return make_task(config.task, config.model.overflow, config.data.features)


def columns_of(task: Task[Any, Any], data: Data, labelled: bool = True) -> Columns:
    """What to read from a file; without `labelled`, the targets are not read."""
    settings = task.settings
    return Columns(
        settings.input_columns + settings.target_columns,
        settings.optional_columns,
        data.columns,
        data.header,
        settings.text_column,
        settings.text_targets,
        targets=() if labelled else settings.target_columns + settings.text_targets,
        answers=settings.target_columns,
        trained=task.trained_columns,
        label_column=settings.label_column,
        label_names=data.labels,
        grouped_by=settings.grouped_by,
        task=settings.type,
        template=data.template,
        features=task.tabular.names,
        file=file_options(data),
    )


def file_options(data: Data) -> FileOptions:
    """How files are read."""
    return FileOptions(data.encoding, data.separator, data.sheet, data.path)


def read_split(config: Config, task: Task[Any, Any], files: Iterable[str | Path]) -> list[Any]:
    """The checked, labelled examples of the files that `data.where` chooses. Raises UserError with file:line."""
    return task.parse(scored_rows(config.data, task, files))


def scored_rows(data: Data, task: Task[Any, Any], files: Iterable[str | Path]) -> list[Row]:
    """The labelled rows of a split that is evaluated: `stream_chosen`, with the columns of `data.slices`."""
    rows = list(stream_chosen(data, task, files))
    for name in data.slices:
        if name != LENGTH and not any(name in cells_of(row) for row in rows):
            found = ", ".join(cells_of(rows[0]))
            raise UserError(
                f"{rows[0].place}: no column '{name}', which data.slices names (found: {found}): name a column of the "
                f"file, or {LENGTH}"
            )
    return rows


def cells_of(row: Row) -> dict[str, Any]:
    """All columns of a row by name, those of the task and those of the file."""
    return row.values | row.original if isinstance(row.original, dict) else row.values


def require_readable(config: Config, task: Task[Any, Any], files: Iterable[str | Path]) -> None:
    """Raise UserError as `read_split` does, without holding the examples."""
    for _ in Examples(config, task, files):
        pass


def stream_chosen(
    data: Data, task: Task[Any, Any], files: Iterable[str | Path], invalid: InvalidRows | None = None
) -> Iterator[Row]:
    """The labelled rows of the files that `data.where` chooses, one after the other. Raises UserError with file:line.

    Each file must have such a row. Rows that the task cannot read are left out where `invalid` is there to note them,
    or `data.skip_invalid` is true, which tells them.
    """
    for path in files_of(files):
        yield from _chosen(data, task, path, invalid)


def _chosen(data: Data, task: Task[Any, Any], path: Path, noted: InvalidRows | None) -> Iterator[Row]:
    invalid = noted or (InvalidRows() if data.skip_invalid else None)
    example = make_task(
        task.settings, features=data.features
    ).example  # it knows no labels: a row with an unknown one is not invalid
    chosen = valid = 0
    for row in stream_rows(path, columns_of(task, data), invalid):
        if not data.where or _is_chosen(row, data.where):
            chosen += 1
            if invalid is None or invalid.accepts(row, example):
                valid += 1
                yield row
    if invalid and not noted:
        invalid.report(str(path), valid)
    if not chosen and not (invalid and invalid.count):
        raise UserError(f"{path}: no row matches data.where: correct its pattern")


def _is_chosen(row: Row, where: dict[str, str]) -> bool:
    columns = cells_of(row)
    for name, pattern in where.items():
        if name not in columns:
            raise UserError(f"{row.place}: no column '{name}', which data.where names: it has {', '.join(columns)}")
        value = columns[name]
        text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        if not matches(pattern, text, row.place, f"data.where.{name}"):
            return False
    return True


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some examples of data files that are neighbours."""

    examples: list[Any]
    places: list[tuple[int, str]]
    """For each example, the number of its file and its place, file:line."""


class Examples(Sequence[Any]):
    """The labelled examples of data files as a sequence that is not in memory: going through it reads the files.

    Small files are read once. An index reads the files up to it. Raises UserError with file:line.
    """

    def __init__(self, config: Config, task: Task[Any, Any], files: Iterable[str | Path]) -> None:
        """`task` parses the rows: one that has not been fitted accepts every label."""
        self._data, self._task = config.data, task
        self.paths = files_of(files)
        self.known_size: int | None = None
        """How many there are, if that is known; else they are read to be counted."""
        self._is_held = (
            task.groups_rows or sum(part.stat().st_size for path in self.paths for part in parts_of(path)) <= HELD
        )
        self.left_out = 0
        """Invalid rows that the last reading has left out."""
        self._held: list[Chunk] | None = None
        self._rows: int | None = None

    def __len__(self) -> int:
        if self.known_size is None:
            self.known_size = sum(len(chunk.examples) for chunk in self.chunks())
        return self.known_size

    def __iter__(self) -> Iterator[Any]:
        return (example for chunk in self.chunks() for example in chunk.examples)

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, slice):
            return next(islice(self, range(len(self))[index], None))
        if index.stop is None or min(index.stop, index.start or 0, index.step or 1) < 0:
            return [*self][index]
        return list(islice(self, index.start, index.stop, index.step))

    def chunks(self, doing: str = "reading") -> Iterator[Chunk]:
        """The examples in parts of a size that is tokenized together, with their places.

        A progress bar tells what is being done.
        """
        if self._held is not None:
            yield from self._held
            return
        held: list[Chunk] = []
        size = 0
        with progress(f"{doing} {shown(self.paths)}", self._rows) as advance:
            for chunk in self._read(advance):
                size += len(chunk.examples)
                if self._is_held:
                    held.append(chunk)
                yield chunk
        self.known_size, self._held = size, held if self._is_held else None

    def _read(self, advance: Callable[[int], None]) -> Iterator[Chunk]:
        rows: list[Row] = []
        numbers: list[int] = []
        characters = count = left_out = 0
        for number, path in enumerate(self.paths):
            before, invalid = count, InvalidRows() if self._data.skip_invalid else None
            for row in _chosen(self._data, self._task, path, invalid):
                rows.append(row)
                numbers.append(number)
                advance(1)
                count += 1
                characters += sum(map(_characters, row.values.values()), 1)
                is_full = len(rows) == CHUNK_ROWS or characters >= CHUNK_CHARACTERS
                if is_full and not self._task.groups_rows:
                    yield self._chunk(rows, numbers)
                    rows, numbers, characters = [], [], 0
            if invalid:
                invalid.report(str(path), count - before)
                left_out += invalid.count
        if rows:
            yield self._chunk(rows, numbers)
        self._rows, self.left_out = count, left_out

    def _chunk(self, rows: list[Row], numbers: list[int]) -> Chunk:
        examples = self._task.parse(rows)
        return Chunk(examples, [(numbers[row], rows[row].place) for row in self._task.first_rows(examples)])


def _characters(value: Any) -> int:
    """About how much text there is in a cell."""
    if isinstance(value, str):
        return len(value)
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sum(map(_characters, parts), 1)


@dataclass(slots=True)
class Split:
    """Examples and their features; an example that is longer than `max_length` may have several (windows).

    A unit of the batch size is an example, or a window of one, with its features.
    """

    examples: Sequence[Any]
    features: Sequence[Feature]
    starts: NDArray[np.int64]
    """(units + 1,): the index of the first feature of each unit, and the number of features."""
    tokens: NDArray[Any]
    """(features,): the tokens of each."""
    truncated: int
    """Examples that were truncated to max_length."""
    size: str
    """How many examples there are, in words."""
    places: Sequence[str] = ()
    """For each example its file:line, where that is known."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    def features_of(self, unit: int) -> range:
        """The indices of the features of a unit."""
        return range(self.starts[unit], self.starts[unit + 1])

    @property
    def lengths(self) -> NDArray[Any]:
        """(units,): the tokens of the longest feature of each unit."""
        return np.maximum.reduceat(self.tokens, self.starts[:-1])

    def where(self, units: Sequence[int]) -> str:
        """Where the examples of some units stand: the first of them as file:line, and how many more there are."""
        examples = sorted({self.features[self.features_of(unit)[0]].example for unit in units})
        shown = [self.places[one] if one < len(self.places) else "a stored example" for one in examples[:SHOWN]]
        more = f" and {len(examples) - SHOWN} more" if len(examples) > SHOWN else ""
        return ", ".join(shown) + more


def unit_starts(task: Task[Any, Any], example_of: NDArray[Any], examples: int) -> NDArray[np.int64]:
    """(units + 1,): the first feature of each unit; `example_of` is the example of each feature, in ascending order."""
    if task.trains_on_windows:
        return np.arange(len(example_of) + 1)
    return np.searchsorted(example_of, np.arange(examples + 1))


def encode_split(config: Config, task: Task[Any, Any], tokenizer: Any, examples: list[Any]) -> Split:
    """Tokenize examples; their features are held in memory."""
    encoded = task.encode(examples, tokenizer, config.model.max_length)
    starts = unit_starts(task, np.array([feature.example for feature in encoded.features]), len(examples))
    tokens = np.array([feature.tokens for feature in encoded.features])
    return Split(examples, encoded.features, starts, tokens, encoded.truncated, size_of(task, examples, len(tokens)))


def size_of(task: Task[Any, Any], examples: Sequence[Any], features: int) -> str:
    """The size of a split in words: of windows where steps consist of these, else of examples."""
    return counted(features, "example") if task.trains_on_windows else task.size(examples)


@dataclass(frozen=True, slots=True)
class Joined(Sequence[Any]):
    """Two sequences behind each other."""

    first: Sequence[Any]
    second: Sequence[Any]

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        return self.first[number] if number < len(self.first) else self.second[number - len(self.first)]


def concatenate(first: Split, second: Split) -> Split:
    """Both as one, of the size of the first; the examples of the second keep indices behind those of the first."""
    moved = [replace(feature, example=feature.example + len(first.examples)) for feature in second.features]
    return Split(
        Joined(first.examples, second.examples),
        Joined(first.features, moved),
        np.concatenate([first.starts, second.starts[1:] + len(first.features)]),
        np.concatenate([first.tokens, second.tokens]),
        first.truncated + second.truncated,
        first.size,
        first.places,
    )
