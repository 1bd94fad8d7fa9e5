"""Preprocessing: how a task reads rows as examples and encodes examples as features."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast

from ..data.features import Encoded, Feature
from ..data.rows import Row
from ..errors import UserError
from .results import Summary
from .settings import Overflow, Settings
from .state import State
from .tabular import TabularFeatures, Values

E = TypeVar("E")
"""An example of the task."""


class Preprocessing(ABC, Generic[E]):
    """Rows → examples → features. A task writes at least `example`, `texts` and `encode`."""

    settings: Settings
    splits_into_words: ClassVar[bool] = False
    """Whether examples are lists of words, which the tokenizer has to keep apart."""
    tabular: TabularFeatures
    """Other columns that are joined to the text (`data.features`)."""
    trains_on_windows: ClassVar[bool] = False
    """Whether the batch size counts features instead of examples: for long texts that are a row of windows."""
    groups_rows: ClassVar[bool] = False
    """Whether rows form one example wherever they stand: then all of them are read before the first is encoded."""
    fitted: ClassVar[type[State]] = State
    """The attributes that fitting sets, with their types; `state` saves them with the model."""

    weights: list[float] | None = None
    """Class weights in the order of the labels, where they are not all 1."""
    overflow: Overflow = "cut"
    """`model.overflow` of the config: how a text is read that is longer than the model reads."""

    @property
    def trained_columns(self) -> tuple[str, ...] | None:
        """The optional columns that the training examples had; None if any is read or nothing was fitted."""
        return None

    @property
    def truncates(self) -> bool:
        """Whether each example of more than `max_length` tokens is truncated; if not, only `encode` tells which are."""
        return False

    def parse(self, rows: Sequence[Row], *, labelled: bool = True) -> list[E]:
        """Rows as validated examples; without `labelled`, those to predict.

        Raises UserError with file:line, also for a label that `fit` has not seen.
        """
        return [self.example(row) if labelled else self.unlabelled_example(row) for row in rows]

    def first_rows(self, examples: Sequence[E]) -> Sequence[int]:
        """The row from which each example was parsed, or the first of them."""
        return range(len(examples))

    def rows_of(self, examples: Sequence[E]) -> Sequence[Sequence[int]]:
        """All rows from which each example was parsed."""
        return [(row,) for row in self.first_rows(examples)]

    @abstractmethod
    def example(self, row: Row) -> E:
        """A row as a validated example. Raises UserError with file:line."""

    def unlabelled_example(self, row: Row) -> E:
        """A row to predict: whatever its target columns hold is not read. Raises UserError with file:line."""
        targets = self.settings.target_columns + self.settings.text_targets
        return self.example(replace(row, values={n: value for n, value in row.values.items() if n not in targets}))

    def to_rows(self, example: E) -> list[dict[str, Any]]:
        """The inverse of `parse`: the columns of the rows of an example."""
        return [asdict(cast(Any, example))]

    def row_of(self, text: str, text_pair: str | None) -> dict[str, Any]:
        """The columns of a text, or a pair, that was given without a file. Raises UserError where that does not fit."""
        if self.tabular:
            raise UserError(
                f"--text: the model reads the columns {', '.join(self.tabular.names)} beside the text: name a file "
                f"with these columns in place of --text"
            )
        required, trained = self.settings.input_columns, self.trained_columns
        first, *others = required + self.settings.optional_columns
        if text_pair is None and (len(required) > 1 or trained):
            raise UserError(f"--text: the model reads {first} and {others[0]}: give the {others[0]} with --text-pair")
        if text_pair is not None and (not others or trained == ()):
            raise UserError("--text: the model reads single texts: leave out --text-pair")
        return {first: text} if text_pair is None else {first: text, others[0]: text_pair}

    def tabular_values(self, examples: Sequence[E]) -> list[Values]:
        """The tabular features of each row that the examples were parsed from."""
        return []

    def fit(self, examples: Sequence[E]) -> None:
        """Collect the labels, and what the trivial baselines need, from the training examples."""

    def extend(self, examples: Sequence[E]) -> None:
        """The same for further training: known labels keep their indices, new ones are appended."""

    def fit_features(self, features: Sequence[Feature]) -> None:
        """Collect what the trivial baselines need from the encoded training examples; part of `state`."""

    def state(self) -> dict[str, Any]:
        """What fitting has set, as JSON."""
        fitted = {name: getattr(self, name) for name in self.fitted.model_fields if name not in State.model_fields}
        overflow = {} if self.overflow == "cut" else {"overflow": self.overflow}
        weights = {} if self.weights is None else {"weights": self.weights}
        return {**fitted, **weights, **overflow, **({"features": self.tabular.columns} if self.tabular else {})}

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of `state`. Raises pydantic's ValidationError where a value has not the type it must."""
        found = self.fitted.model_validate(state)
        for name in self.fitted.model_fields.keys() - {"features"}:
            setattr(self, name, getattr(found, name))
        self.tabular.load(state.get("features", {}))

    def save_files(self, folder: Path) -> None:
        """Write what is too large for `state` into the folder of a saved model."""

    def load_files(self, folder: Path) -> None:
        """The inverse of `save_files`. Raises UserError for a damaged file."""

    def model_options(self) -> dict[str, Any]:
        """Options of the model's config, such as its labels."""
        return {}

    @abstractmethod
    def texts(self, examples: Sequence[E]) -> Iterable[str]:
        """All texts, to train the tokenizer of a tiny model on."""

    def summary(self, example: E) -> Summary:
        """A labelled example as `check-data` sees it; a task adds at least the target."""
        return Summary(tuple(self.texts([example])))

    def read_tokenizer(self, tokenizer: Any) -> None:
        """Take from the tokenizer what the task needs to know of it, before anything is encoded."""

    @abstractmethod
    def encode(self, examples: Sequence[E], tokenizer: Any, max_length: int) -> Encoded:
        """Tokenize, truncating to `max_length` tokens; the features of one example are neighbours."""
