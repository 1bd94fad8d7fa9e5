"""Features in files: written once, part by part, then mapped into memory, so that they take room on the disk only.

Each field of a feature is a column: the numbers of all features in one file and, where each feature has a list of them,
the position at which its list ends in another. The processes of a machine share the mapped pages.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import fields
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .features import Feature

ENDS = "-ends"
"""Suffix of the column with the ends of lists."""


class ColumnWriter:
    """Columns of numbers, or of lists of numbers, that grow."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.types: dict[str, str] = {}
        """The numpy type of each column that has a number: int32, int64 or float64."""
        self._ends: dict[str, int] = {}

    def add_numbers(self, name: str, values: Sequence[int] | Sequence[float]) -> None:
        """Append a number for each row. Raises ValueError for a column of whole numbers and of fractions."""
        self._add(name, _as_array(values))

    def add_lists(self, name: str, values: Sequence[list[int]] | Sequence[list[float]]) -> None:
        """Append a list of numbers for each row."""
        self.add_numbers(name, list(chain.from_iterable(values)))
        ends = np.cumsum([self._ends.get(name, 0), *map(len, values)])
        self._add(name + ENDS, ends[1:] if name in self._ends else ends)
        self._ends[name] = int(ends[-1])

    def _add(self, name: str, numbers: NDArray[Any]) -> None:
        if not numbers.size:
            return
        known = self.types.setdefault(name, numbers.dtype.name)
        if known != numbers.dtype.name:
            raise ValueError(f"column {name} has values of types {known} and {numbers.dtype.name}")
        with (self._folder / name).open("ab") as file:
            numbers.tofile(file)


def _as_array(values: Sequence[int] | Sequence[float]) -> NDArray[Any]:
    """Whole numbers in 32 bits where all of them fit, else in 64; fractions in 64."""
    try:
        return np.frombuffer(array("i", values) or b"", np.intc)  # takes a third of the time of np.array
    except (TypeError, OverflowError):
        return np.array(values)


def write_features(columns: ColumnWriter, features: Sequence[Feature]) -> None:
    """Append features, all with the same names of inputs."""
    for field in fields(Feature):
        values = [getattr(feature, field.name) for feature in features]
        for name, column in _named(field.name, values).items():
            (columns.add_lists if isinstance(column[0], list) else columns.add_numbers)(name, column)


def _named(field: str, values: list[Any]) -> dict[str, list[Any]]:
    """The columns of a field: several if it maps names to lists."""
    if not isinstance(values[0], dict):
        return {field: values}
    if any(value.keys() != values[0].keys() for value in values):
        raise ValueError(f"{field}: all features need the same names, here {', '.join(values[0])}")
    return {f"{field}.{key}": [value[key] for value in values] for key in values[0]}


def read_column(folder: Path, name: str, types: dict[str, str]) -> NDArray[Any]:
    """A column of numbers, mapped; an empty one if no number was written."""
    return np.asarray(np.memmap(folder / name, types[name], mode="r")) if name in types else np.zeros(0, np.int32)


class FeatureStore(Sequence[Feature]):
    """Features in files: each is made from the mapped pages when it is asked for."""

    def __init__(self, folder: Path, types: dict[str, str]) -> None:
        self.examples = read_column(folder, "example", types)
        """(features,): the example of each."""
        self.tokens = np.diff(read_column(folder, f"inputs.input_ids{ENDS}", types))
        """(features,): `Feature.tokens` of each."""
        self.tokens = self.tokens + read_column(folder, "target_length", types)
        self._readers = {field.name: _reader(folder, field.name, types) for field in fields(Feature)}

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        row = range(len(self))[index]
        return Feature(**{name: read(row) for name, read in self._readers.items()})


def _reader(folder: Path, name: str, types: dict[str, str]) -> Callable[[int], Any]:
    """Reads the value of a column, or of a field that maps names to columns, in a row."""
    keys = [key for key in types if key.startswith(f"{name}.") and key.endswith(ENDS)]
    if keys:
        columns = {key.removesuffix(ENDS): _reader(folder, key.removesuffix(ENDS), types) for key in keys}
        return lambda row: {key.removeprefix(f"{name}."): read(row) for key, read in columns.items()}
    values = read_column(folder, name, types)
    if name + ENDS in types:
        ends = read_column(folder, name + ENDS, types)
        return lambda row: values[ends[row] : ends[row + 1]].tolist()
    return lambda row: values[row].item()
