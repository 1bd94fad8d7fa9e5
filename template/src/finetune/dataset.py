"""Dataset: a data file as a task's examples and as the model's features."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .config.config import Config, Data
from .data.features import Feature
from .data.files import files_of
from .data.opening import FileOptions
from .data.rows import Columns, Row, stream_rows
from .errors import UserError
from .tasks.base import Task


@dataclass(slots=True)
class Split:
    """Examples and their features; an example that is longer than `max_length` may have several (windows)."""

    examples: list[Any]
    features: list[Feature]
    features_of: list[list[int]]
    """For each unit of the batch size (an example, or a window of one), the indices of its features."""
    lengths: list[int]
    """For each unit, the tokens of its longest feature."""
    truncated: int
    """Examples that were truncated to max_length."""


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
        trained=task.trained_columns,
        task=settings.type,
        file=file_options(data),
    )


def file_options(data: Data) -> FileOptions:
    """How files are read."""
    return FileOptions(data.encoding, data.separator, data.sheet, data.path)


def read_split(config: Config, task: Task[Any, Any], files: Iterable[str | Path]) -> list[Any]:
    """The checked, labelled examples of the files that `data.where` chooses. Raises UserError with file:line."""
    return task.parse(list(stream_chosen(config.data, task, files)))


def stream_chosen(data: Data, task: Task[Any, Any], files: Iterable[str | Path]) -> Iterator[Row]:
    """The labelled rows of the files that `data.where` chooses, one after the other. Raises UserError with file:line.

    Each file must have such a row.
    """
    for path in files_of(files):
        chosen = 0
        for row in stream_rows(path, columns_of(task, data)):
            if _is_chosen(row, data.where):
                chosen += 1
                yield row
        if not chosen:
            raise UserError(f"{path}: no row matches data.where: correct its pattern")


def _is_chosen(row: Row, where: dict[str, str]) -> bool:
    columns = row.values | row.original if isinstance(row.original, dict) else row.values
    for name, pattern in where.items():
        if name not in columns:
            raise UserError(f"{row.place}: no column '{name}', which data.where names: it has {', '.join(columns)}")
        value = columns[name]
        if not re.search(pattern, " ".join(map(str, value)) if isinstance(value, list) else str(value)):
            return False
    return True


def encode_split(config: Config, task: Task[Any, Any], tokenizer: Any, examples: list[Any]) -> Split:
    """Tokenize examples."""
    encoded = task.encode(examples, tokenizer, config.model.max_length)
    features_of: list[list[int]] = [[] for _ in (encoded.features if task.trains_on_windows else examples)]
    for index, feature in enumerate(encoded.features):
        features_of[index if task.trains_on_windows else feature.example].append(index)
    lengths = [max(encoded.features[index].tokens for index in indices) for indices in features_of]
    return Split(examples, encoded.features, features_of, lengths, encoded.truncated)


def concatenate(first: Split, second: Split) -> Split:
    """Both as one; the examples of the second keep indices of their own, behind those of the first."""
    examples, features = len(first.examples), len(first.features)
    moved = [replace(feature, example=feature.example + examples) for feature in second.features]
    return Split(
        first.examples + second.examples,
        first.features + moved,
        first.features_of + [[index + features for index in indices] for indices in second.features_of],
        first.lengths + second.lengths,
        first.truncated + second.truncated,
    )
