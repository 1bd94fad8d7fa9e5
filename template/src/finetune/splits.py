"""A data file as a task's examples and as the model's features."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .config import Config
from .data import read_rows
from .tasks import Task
from .tasks.base import Feature


@dataclass(slots=True)
class Split:
    """Examples and their features; an example has several where it is longer than the model reads at once."""

    examples: list[Any]
    features: list[Feature]
    features_of: list[list[int]]
    """For each example, the indices of its features."""
    lengths: list[int]
    """Tokens of each example's longest feature."""
    truncated: int
    """Examples that max_length has cut."""


def read_split(config: Config, task: Task[Any, Any], path: Path) -> list[Any]:
    """The checked, labelled examples of a file. Raises UserError with file:line."""
    return task.parse(read_rows(path, task.columns(config.data)))


def encode_split(config: Config, task: Task[Any, Any], tokenizer: Any, examples: list[Any]) -> Split:
    """Tokenise examples."""
    encoded = task.encode(examples, tokenizer, config.model.max_length)
    features_of: list[list[int]] = [[] for _ in examples]
    for index, feature in enumerate(encoded.features):
        features_of[feature.example].append(index)
    lengths = [max(encoded.features[index].length for index in indices) for indices in features_of]
    return Split(examples, encoded.features, features_of, lengths, encoded.truncated)
