"""A data file as a task's examples and as the model's features."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .config import Config, Data
from .data import Columns, read_rows
from .tasks import Task
from .tasks.base import Feature


@dataclass(slots=True)
class Split:
    """Examples and their features; an example has several where it is longer than the model reads at once."""

    examples: list[Any]
    features: list[Feature]
    features_of: list[list[int]]
    """For each example, of which a step takes `batch_size`, the indices of its features."""
    lengths: list[int]
    """Tokens of the longest feature of each."""
    truncated: int
    """Examples that max_length has cut."""


def columns_of(task: Task[Any, Any], data: Data, learns: bool = True) -> Columns:
    """What to read from a file; `learns` is False where what is to be predicted is wanted but not needed."""
    required = task.inputs + task.learns if learns else task.inputs
    optional = task.optional if learns else task.optional + task.learns
    return Columns(required, optional, data.columns, data.header, task.whole if learns else None)


def read_split(config: Config, task: Task[Any, Any], path: Path) -> list[Any]:
    """The checked, labelled examples of a file. Raises UserError with file:line."""
    return task.parse(read_rows(path, columns_of(task, config.data)))


def encode_split(config: Config, task: Task[Any, Any], tokenizer: Any, examples: list[Any]) -> Split:
    """Tokenise examples."""
    encoded = task.encode(examples, tokenizer, config.model.max_length)
    features_of: list[list[int]] = [[] for _ in (encoded.features if task.trains_on_windows else examples)]
    for index, feature in enumerate(encoded.features):
        features_of[index if task.trains_on_windows else feature.example].append(index)
    lengths = [max(encoded.features[index].cost for index in indices) for indices in features_of]
    return Split(examples, encoded.features, features_of, lengths, encoded.truncated)
