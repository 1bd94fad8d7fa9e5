"""What a task answers for; the loop, the evaluation and the report know tasks only through this.

A task owns its section of the config, its columns, labels, loss (as a sum: who sums may divide once, over whatever was
cut in between), metrics and the shape of a prediction. To add one, write a subclass in a new file of this folder.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, ClassVar, Generic, TypeVar, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data.features import IGNORE, Encoded, Feature
from ..data.rows import Row
from ..errors import UserError
from .results import Scores, Summary
from .settings import Generation, Settings

E = TypeVar("E")
P = TypeVar("P")


def at_least_fp32(logits: Tensor) -> Tensor:
    """Half precision is too coarse for a loss or a probability; fp64 stays fp64."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def label_options(labels: list[str], **options: Any) -> dict[str, Any]:
    """A model config that knows the labels by name."""
    names = dict(enumerate(labels))
    return {"num_labels": len(labels), "id2label": names, "label2id": {v: k for k, v in names.items()}, **options}


class Task(ABC, Generic[E, P]):
    """`E` is an example, `P` a prediction for one. Labels are known after `fit` or `load_state`."""

    settings: ClassVar[type[Settings]]
    """The task's section of the config; the task is made with an instance of it."""
    inputs: ClassVar[tuple[str, ...]]
    """Columns that an example must have."""
    target_columns: ClassVar[tuple[str, ...]]
    """Columns that an example must have to be learnt from or scored; they may be absent in prediction."""
    optional: ClassVar[tuple[str, ...]] = ()
    """Columns that an example may have."""
    whole: ClassVar[str | None] = None
    """A column that may stand for all of `inputs` and `target_columns`."""
    main_metric: ClassVar[str]
    """The metric that chooses the best step."""
    lower_is_better: ClassVar[bool] = False
    """Whether the headline falls as the model gets better."""
    auto_model: ClassVar[str]
    """Name of the transformers class that loads a model with the task's head."""
    new_head: ClassVar[bool] = True
    """Whether the head starts from random weights, so that every method has to train it."""
    refuses: ClassVar[dict[str, str]] = {}
    """Methods that cannot learn the task, each with the reason and the remedy."""
    keeps_together: bool = False
    """Whether the loss needs all features of an example in one batch."""
    splits_into_words: ClassVar[bool] = False
    """Whether examples are lists of words, of which the tokenizer has to keep track."""
    generation: Generation | None = None
    """How the model writes, for tasks whose predictions are texts."""
    ends: Sequence[int] = ()
    """The tokens at which it stops writing."""
    trains_on_windows: ClassVar[bool] = False
    """Whether a step counts features, not examples: where a long text is nothing but a row of windows."""

    def parse(self, rows: Sequence[Row]) -> list[E]:
        """Rows as checked examples. Raises UserError with file:line, also for a label that `fit` has not seen."""
        return [self.example(row) for row in rows]

    @abstractmethod
    def example(self, row: Row) -> E:
        """A row as a checked example. Raises UserError with file:line."""

    def row_of(self, text: str, text_pair: str | None) -> dict[str, Any]:
        """The columns of a single text that was given without a file. Raises UserError where a text is not enough."""
        name, *others = self.inputs
        row = {name: text} if text_pair is None else {name: text, "text_pair": text_pair}
        if any(other not in row for other in others):
            raise UserError(f"predict: this task needs {name} and {', '.join(others)}: put them into a file")
        return row

    def columns(self, example: E) -> list[dict[str, Any]]:
        """The inverse of `parse`: the columns of the rows that the example was made of."""
        return [asdict(cast(Any, example))]

    @abstractmethod
    def fit(self, examples: Sequence[E]) -> None:
        """Learn the labels, and what the trivial baselines need, from the training examples."""

    def extend(self, examples: Sequence[E]) -> None:
        """Learn the same from the examples of a further training; labels keep their places, new ones come behind."""

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

    def summary(self, example: E) -> Summary:
        """A labelled example as `check-data` looks at it; a task says at least what the answer is."""
        return Summary(tuple(self.texts([example])))

    @abstractmethod
    def encode(self, examples: Sequence[E], tokenizer: Any, max_length: int) -> Encoded:
        """Tokenise; the features of one example follow each other."""

    def observe(self, features: Sequence[Feature]) -> None:
        """Learn from the encoded training examples what the trivial baselines need; part of `state`."""

    @abstractmethod
    def batch_labels(self, features: Sequence[Feature], length: int) -> Tensor:
        """The labels of a batch whose rows are padded to `length` tokens."""

    def model_inputs(self, model: Any, inputs: dict[str, Tensor], labels: Tensor) -> dict[str, Any]:
        """All that the model is called with for a batch."""
        return inputs

    def texts_wanted(self, purpose: str) -> int | None:
        """For how many examples the model has to write; None for all."""
        return None

    @abstractmethod
    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Sum of the losses of all scored labels (a scalar, fp32)."""

    def distillation_loss(self, logits: Tensor, targets: Tensor, labels: Tensor, temperature: float) -> Tensor:
        """Sum of the cross-entropies with what another model's logits say, where a label is scored.

        The square of the temperature keeps the size of the gradient (Hinton et al. 2015).
        """
        scored = labels != IGNORE
        soft = (at_least_fp32(targets[scored]) / temperature).softmax(-1)
        return F.cross_entropy(at_least_fp32(logits[scored]) / temperature, soft, reduction="sum") * temperature**2

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

    def comparable_score(self, metrics: dict[str, float]) -> float:
        """The headline as a number that rises as the model gets better."""
        return -metrics[self.main_metric] if self.lower_is_better else metrics[self.main_metric]

    @abstractmethod
    def baselines(self, examples: Sequence[E], features: Sequence[Feature]) -> dict[str, list[P]]:
        """Predictions of trivial models, by name: what a trained model has to beat."""

    @abstractmethod
    def records(self, examples: Sequence[E], predictions: Sequence[P]) -> list[dict[str, Any]]:
        """What `predict` adds to each row that the examples were parsed from: prediction, probability, ..."""


def require_known(kind: str, name: str, known: Sequence[str], place: str) -> None:
    """Refuse what the training data do not have, once they are known."""
    if known and name not in known:
        raise UserError(
            f"{place}: {kind} '{name}' does not occur in the training data ({', '.join(known)}): correct it, "
            f"or add examples of it to data.train"
        )
