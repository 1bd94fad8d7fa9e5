"""Preprocessing: how a task reads rows as examples and encodes examples as features."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, ClassVar, Generic, TypeVar, cast

from ..data.features import Encoded, Feature
from ..data.rows import Row
from ..errors import UserError
from .results import Summary
from .settings import Settings

E = TypeVar("E")
"""An example of the task."""


class Preprocessing(ABC, Generic[E]):
    """Rows → examples → features. A task writes at least `example`, `texts` and `encode`."""

    settings: Settings
    splits_into_words: ClassVar[bool] = False
    """Whether examples are lists of words, which the tokenizer has to keep apart."""
    trains_on_windows: ClassVar[bool] = False
    """Whether the batch size counts features instead of examples: for long texts that are a row of windows."""
    fitted: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes that fitting sets; `state` saves them with the model."""

    def parse(self, rows: Sequence[Row]) -> list[E]:
        """Rows as validated examples. Raises UserError with file:line, also for a label that `fit` has not seen."""
        return [self.example(row) for row in rows]

    @abstractmethod
    def example(self, row: Row) -> E:
        """A row as a validated example. Raises UserError with file:line."""

    def to_rows(self, example: E) -> list[dict[str, Any]]:
        """The inverse of `parse`: the columns of the rows of an example."""
        return [asdict(cast(Any, example))]

    def row_of(self, text: str, text_pair: str | None) -> dict[str, Any]:
        """The columns of a single text that was given without a file. Raises UserError where a text is not enough."""
        name, *others = self.settings.input_columns
        row = {name: text} if text_pair is None else {name: text, "text_pair": text_pair}
        if any(other not in row for other in others):
            raise UserError(f"predict: this task needs {name} and {', '.join(others)}: put them into a file")
        return row

    def fit(self, examples: Sequence[E]) -> None:
        """Collect the labels, and what the trivial baselines need, from the training examples."""

    def extend(self, examples: Sequence[E]) -> None:
        """The same for further training: known labels keep their indices, new ones are appended."""

    def fit_features(self, features: Sequence[Feature]) -> None:
        """Collect what the trivial baselines need from the encoded training examples; part of `state`."""

    def state(self) -> dict[str, Any]:
        """What fitting has set, as JSON."""
        return {name: getattr(self, name) for name in self.fitted}

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        for name in self.fitted:
            setattr(self, name, state[name])

    def model_options(self) -> dict[str, Any]:
        """Options of the model's config, such as its labels."""
        return {}

    @abstractmethod
    def texts(self, examples: Sequence[E]) -> Iterable[str]:
        """All texts, to train the tokenizer of a tiny model on."""

    def summary(self, example: E) -> Summary:
        """A labelled example as `check-data` sees it; a task adds at least the target."""
        return Summary(tuple(self.texts([example])))

    @abstractmethod
    def encode(self, examples: Sequence[E], tokenizer: Any, max_length: int) -> Encoded:
        """Tokenize, truncating to `max_length` tokens; the features of one example are neighbours."""
