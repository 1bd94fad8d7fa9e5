"""What a task answers for; the loop, the evaluation and the report know tasks only through this.

A task owns its columns, labels, loss (as a sum: who sums may divide once, over whatever was cut in between), metrics
and the shape of a prediction. To add one: write a subclass in a file of its own, give it a model in config.py and a
line in `make_task`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from ..config import Data
from ..data import Columns, Row

E = TypeVar("E")
P = TypeVar("P")

IGNORE = -100
"""Label of a position that is not scored, as in torch's cross-entropy."""


def at_least_fp32(logits: Tensor) -> Tensor:
    """Half precision is too coarse for a loss or a probability; fp64 stays fp64."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def label_options(labels: list[str], **options: Any) -> dict[str, Any]:
    """A model config that knows the labels by name."""
    names = dict(enumerate(labels))
    return {"num_labels": len(labels), "id2label": names, "label2id": {v: k for k, v in names.items()}, **options}


@dataclass(slots=True)
class Feature:
    """One row of a batch: an example, or one window of a long one."""

    example: int
    """Index of the example that it comes from."""
    inputs: dict[str, list[int]]
    """Model inputs without padding: input_ids and, where the model has them, token_type_ids."""
    labels: list[int] | list[float]
    """One label for the row, or one for each token with IGNORE where none is scored, or one for each class."""
    count: int = 1
    """Scored labels: the summed loss of a step is divided by their number."""
    words: list[int] = field(default_factory=list)
    """For tasks on words: the word of each scored position."""

    @property
    def length(self) -> int:
        """Tokens."""
        return len(self.inputs["input_ids"])


@dataclass(slots=True)
class Encoded:
    """All features of a split, and how many examples `max_length` has cut."""

    features: list[Feature]
    truncated: int = 0


@dataclass(slots=True)
class Table:
    """A table of an evaluation. Shares and scores are floats, counts are ints."""

    title: str
    columns: list[str]
    rows: list[list[str | int | float]]
    note: str = ""


@dataclass(slots=True)
class Matrix:
    """A confusion matrix: `counts[true][predicted]`."""

    title: str
    labels: list[str]
    counts: list[list[int]]
    row_label: str = "true"
    column_label: str = "predicted"


@dataclass(slots=True)
class Scatter:
    """Predictions against the truth, a point an example."""

    title: str
    true: list[float]
    predicted: list[float]


@dataclass(slots=True)
class Scores:
    """Metrics by their stable names, and what a person wants to see beside them."""

    metrics: dict[str, float]
    tables: list[Table] = field(default_factory=list)
    matrices: list[Matrix] = field(default_factory=list)
    scatters: list[Scatter] = field(default_factory=list)


class Task(ABC, Generic[E, P]):
    """`E` is an example, `P` a prediction for one. Labels are known after `fit` or `load_state`."""

    required: ClassVar[tuple[str, ...]]
    """Columns that an example must have; the last one is what is learnt and may be absent in prediction."""
    optional: ClassVar[tuple[str, ...]] = ()
    headline: ClassVar[str]
    """The metric that chooses the best step; higher is better."""
    auto_model: ClassVar[str]
    """Name of the transformers class that loads a model with the task's head."""
    keeps_together: bool = False
    """Whether the loss needs all features of an example in one batch."""

    def columns(self, data: Data, labelled: bool = True) -> Columns:
        """What to read from a file; `labelled` is False where a label is wanted but not needed."""
        required = self.required if labelled else self.required[:-1]
        optional = self.optional if labelled else (*self.optional, self.required[-1])
        return Columns(required, optional, data.columns, data.header)

    @abstractmethod
    def parse(self, rows: Sequence[Row]) -> list[E]:
        """Rows as checked examples. Raises UserError with file:line, also for a label that `fit` has not seen."""

    @abstractmethod
    def fit(self, examples: Sequence[E]) -> None:
        """Learn the labels, and what the trivial baselines need, from the training examples."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What `fit` has learnt, as JSON."""

    @abstractmethod
    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""

    @abstractmethod
    def model_options(self) -> dict[str, Any]:
        """Options of the model's config, such as its labels."""

    @abstractmethod
    def texts(self, examples: Sequence[E]) -> Iterable[str]:
        """All texts, to train a tokenizer on."""

    @abstractmethod
    def encode(self, examples: Sequence[E], tokenizer: Any, max_length: int) -> Encoded:
        """Tokenise; the features of one example follow each other."""

    @abstractmethod
    def batch_labels(self, features: Sequence[Feature], length: int) -> Tensor:
        """The labels of a batch whose rows are padded to `length` tokens."""

    @abstractmethod
    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Sum of the losses of all scored labels (a scalar, fp32)."""

    @abstractmethod
    def decode(self, logits: Tensor, labels: Tensor) -> list[Any]:
        """The little that `predictions` needs of each row's logits, off the device."""

    def calibrate(self, examples: Sequence[E], features: Sequence[Feature], decoded: Sequence[Any]) -> None:
        """Choose on the validation data what training does not, such as a threshold; part of `state`."""

    @abstractmethod
    def predictions(self, examples: Sequence[E], features: Sequence[Feature], decoded: Sequence[Any]) -> list[P]:
        """One prediction for each example; `decoded` runs parallel to `features`."""

    @abstractmethod
    def score(self, examples: Sequence[E], predictions: Sequence[P]) -> Scores:
        """Metrics and tables over labelled examples."""

    @abstractmethod
    def baselines(self, examples: Sequence[E]) -> dict[str, list[P]]:
        """Predictions of trivial models, by name: what a trained model has to beat."""

    @abstractmethod
    def records(self, examples: Sequence[E], predictions: Sequence[P]) -> list[dict[str, Any]]:
        """What `predict` adds to each row that the examples were parsed from: prediction, probability, ..."""
