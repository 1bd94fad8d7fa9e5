"""Texts and pairs of texts: what several tasks need to encode them."""

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

from torch import Tensor

from ..data.features import IGNORE, Encoded, Feature
from ..data.overflow import split_tokens
from ..data.rows import Row
from ..errors import UserError
from .base import P, Task
from .objective import at_least_fp32
from .settings import Overflow
from .state import TextState
from .tabular import Values

Text = tuple[str, str | None]
"""A text and, for tasks on pairs, its partner."""


class HasText(Protocol):
    """An example on a text or a pair of texts."""

    @property
    def text(self) -> str: ...
    @property
    def text_pair(self) -> str | None: ...
    @property
    def extra(self) -> Values: ...


T = TypeVar("T", bound=HasText)


class TextTask(Task[T, P]):
    """A task with one target for a text or a pair of texts."""

    fitted: ClassVar[type[TextState]] = TextState
    paired: bool | None = None
    """Whether the training examples had a second text; None if that is not known."""

    @property
    def trained_columns(self) -> tuple[str, ...] | None:
        return None if self.paired is None else ("text_pair",) * self.paired

    def tabular_values(self, examples: Sequence[T]) -> list[Values]:
        return [example.extra for example in examples]

    def to_rows(self, example: T) -> list[dict[str, Any]]:
        [row] = super().to_rows(example)
        values = row.pop("extra")
        return [{**row, **self.tabular.as_columns(values)}]

    def fit(self, examples: Sequence[T]) -> None:
        if self.tabular:
            self.tabular.fit(self.tabular_values(examples))
        self.paired = False
        self.fit_targets(self._noting_pairs(examples))

    def extend(self, examples: Sequence[T]) -> None:
        self.paired = bool(self.paired)
        self.extend_targets(self._noting_pairs(examples))

    def _noting_pairs(self, examples: Iterable[T]) -> Iterator[T]:
        for example in examples:
            if example.text_pair is not None:
                self.paired = True
            yield example

    @abstractmethod
    def fit_targets(self, examples: Iterable[T]) -> None:
        """Collect the labels in one pass over all examples: a second one would read the data files once more."""

    @abstractmethod
    def extend_targets(self, examples: Iterable[T]) -> None:
        """The same for further training."""

    @abstractmethod
    def target(self, example: T) -> list[int] | list[float]:
        """The target of an example as numbers; anything of the right size where it is not known."""

    def texts(self, examples: Sequence[T]) -> Iterable[str]:
        for example in examples:
            yield example.text
            if example.text_pair is not None:
                yield example.text_pair

    @property
    def group_by_example(self) -> bool:
        return self.overflow == "windows"

    @property
    def truncates(self) -> bool:
        return self.overflow != "windows"

    def encode(self, examples: Sequence[T], tokenizer: Any, max_length: int) -> Encoded:
        """Of several windows of an example the first one has its target, so that every example counts once."""
        texts = [(example.text, example.text_pair) for example in examples]
        inputs, truncated = tokenize_all(texts, tokenizer, max_length, self.overflow)
        features = []
        end = tokenizer.eos_token_id  # looked up once: tokenizers search for it
        for number, (example, windows) in enumerate(zip(examples, inputs, strict=True)):
            target, extra = self.target(example), self.tabular.encode(example.extra)
            for row in windows:
                ends = 0 if end is None else row["input_ids"].count(end)
                is_first = row is windows[0]
                labels = target if is_first else unscored(target)
                features.append(Feature(number, row, labels, int(is_first), end_tokens=ends, extra=extra))
        return Encoded(features, truncated)

    def example_logits(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Each row has the mean logits of its example's windows, which follow each other."""
        if self.overflow != "windows":
            return logits
        logits, number = at_least_fp32(logits), is_scored(labels).cumsum(0)
        same = (number[:, None] == number).to(logits)
        return (same / same.sum(-1, keepdim=True)) @ logits

    def of_examples(self, features: Sequence[Feature], decoded: Sequence[Any]) -> list[Any]:
        """An entry of `decoded`, which runs parallel to `features`, for each example."""
        if self.overflow != "windows":
            return list(decoded)
        return [value for feature, value in zip(features, decoded, strict=True) if feature.scored_labels]


def unscored(target: list[int] | list[float]) -> list[int] | list[float]:
    """The labels of a row that is not scored, of the same size and type; a number has no value to spare for that."""
    return [math.nan if isinstance(value, float) else IGNORE for value in target]


def is_scored(labels: Tensor) -> Tensor:
    """Which rows of a batch have labels: (rows,)."""
    scored = ~labels.isnan() if labels.is_floating_point() else labels != IGNORE
    return scored if scored.ndim == 1 else scored[:, 0]


def text_of(row: Row, name: str) -> str:
    """A column that must hold a text. Raises UserError with file:line where it does not."""
    text = row.values[name]
    if not isinstance(text, str):
        raise UserError(f"{row.place}: {name} is {text!r}: write it as a string")
    if not text.strip():
        raise UserError(f"{row.place}: {name} is empty: fill it in, or take the row out")
    return text


def pair_of(row: Row) -> Text:
    """The columns text and, where the file has it, text_pair."""
    return text_of(row, "text"), text_of(row, "text_pair") if row.values.get("text_pair") is not None else None


def joined(example: HasText) -> str:
    """The text or the pair of texts of an example, to be shown."""
    return example.text if example.text_pair is None else f"{example.text} / {example.text_pair}"


def tokenize(texts: Sequence[Text], tokenizer: Any, max_length: int) -> tuple[list[dict[str, list[int]]], int]:
    """Model inputs of each text or pair, truncated to `max_length` tokens, and how many were truncated."""
    rows, overflows = _tokenized(tokenizer, texts, truncation=True, max_length=max_length)
    if tokenizer.is_fast:
        return rows, overflows
    full = [text for text, row in zip(texts, rows, strict=True) if len(row["input_ids"]) == max_length]
    whole, _ = _tokenized(tokenizer, full)
    return rows, sum(len(row["input_ids"]) > max_length for row in whole)


def tokenize_all(
    texts: Sequence[Text], tokenizer: Any, max_length: int, overflow: Overflow
) -> tuple[list[list[dict[str, list[int]]]], int]:
    """All model inputs of each text or pair, several where it has windows, and how many texts are not read whole."""
    if overflow == "cut":
        cut, truncated = tokenize(texts, tokenizer, max_length)
        return [[row] for row in cut], truncated
    inputs, truncated = [], 0
    whole, _ = _tokenized(tokenizer, texts, return_special_tokens_mask=True)
    for (text, partner), row in zip(texts, whole, strict=True):
        special = row.pop("special_tokens_mask")
        first = len(special)
        if partner is not None and len(special) > max_length:
            first = len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
        chosen, incomplete = split_tokens(special, first, max_length, overflow)
        inputs.append([{name: [values[i] for i in window] for name, values in row.items()} for window in chosen])
        truncated += incomplete
    return inputs, truncated


def token_ids(tokenizer: Any, texts: Sequence[str], **options: Any) -> list[list[int]]:
    """The tokens of each text, whatever its length."""
    ids: list[list[int]] = tokenizer(texts, verbose=False, **options)["input_ids"] if texts else []
    return ids


def _tokenized(tokenizer: Any, texts: Sequence[Text], **options: Any) -> tuple[list[dict[str, list[int]]], int]:
    """The model inputs of each text, and how many a tokenizer of the library tokenizers has truncated.

    Single texts and pairs may be mixed; each kind is tokenized in one call.
    """
    rows: list[dict[str, list[int]]] = [{} for _ in texts]
    truncated = 0
    for paired in (False, True):
        numbers = [i for i, (_, partner) in enumerate(texts) if (partner is not None) == paired]
        if not numbers:
            continue
        firsts = [texts[i][0] for i in numbers]
        partners = [texts[i][1] for i in numbers] if paired else None
        batch = tokenizer(firsts, partners, return_attention_mask=False, verbose=False, **options)
        for name, column in batch.items():
            for i, values in zip(numbers, column, strict=True):
                rows[i][name] = values
        truncated += sum(bool(encoding.overflowing) for encoding in batch.encodings or ())
    return rows, truncated
