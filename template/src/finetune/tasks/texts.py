"""Texts and pairs of texts: what several tasks need to encode them."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeVar

from ..data.features import Encoded, Feature
from ..data.rows import Row
from ..errors import UserError
from .base import P, Task

Text = tuple[str, str | None]
"""A text and, for tasks on pairs, its partner."""


class HasText(Protocol):
    """An example on a text or a pair of texts."""

    @property
    def text(self) -> str: ...
    @property
    def text_pair(self) -> str | None: ...


T = TypeVar("T", bound=HasText)


class TextTask(Task[T, P]):
    """A task with one target for a text or a pair of texts."""

    paired: bool | None = None
    """Whether the training examples had a second text; None if that is not known."""

    @property
    def trained_columns(self) -> tuple[str, ...] | None:
        return None if self.paired is None else ("text_pair",) * self.paired

    def fit(self, examples: Sequence[T]) -> None:
        self.paired = any(example.text_pair is not None for example in examples)

    def extend(self, examples: Sequence[T]) -> None:
        self.paired = bool(self.paired) or any(example.text_pair is not None for example in examples)

    def state(self) -> dict[str, Any]:
        return {**super().state(), "paired": self.paired}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.paired = state.get("paired")  # models of earlier versions do not have it

    @abstractmethod
    def target(self, example: T) -> list[int] | list[float]:
        """The target of an example as numbers; anything of the right size where it is not known."""

    def texts(self, examples: Sequence[T]) -> Iterable[str]:
        for example in examples:
            yield example.text
            if example.text_pair is not None:
                yield example.text_pair

    def encode(self, examples: Sequence[T], tokenizer: Any, max_length: int) -> Encoded:
        rows, truncated = tokenize([(example.text, example.text_pair) for example in examples], tokenizer, max_length)
        targets = map(self.target, examples)
        features = [
            Feature(i, row, target, end_tokens=row["input_ids"].count(tokenizer.eos_token_id))
            for i, (row, target) in enumerate(zip(rows, targets, strict=True))
        ]
        return Encoded(features, truncated)


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
    rows = _tokenized(tokenizer, texts)
    long = [number for number, row in enumerate(rows) if len(row["input_ids"]) > max_length]
    truncated = _tokenized(tokenizer, [texts[number] for number in long], truncation=True, max_length=max_length)
    for number, row in zip(long, truncated, strict=True):
        rows[number] = row
    return rows, len(long)


def _tokenized(tokenizer: Any, texts: Sequence[Text], **options: Any) -> list[dict[str, list[int]]]:
    """Single texts and pairs may be mixed; each kind is tokenized in one call."""
    rows: list[dict[str, list[int]]] = [{} for _ in texts]
    for paired in (False, True):
        numbers = [i for i, (_, partner) in enumerate(texts) if (partner is not None) == paired]
        if not numbers:
            continue
        firsts = [texts[i][0] for i in numbers]
        partners = [texts[i][1] for i in numbers] if paired else None
        batch = tokenizer(firsts, partners, return_attention_mask=False, verbose=False, **options)
        for position, i in enumerate(numbers):
            rows[i] = {name: values[position] for name, values in batch.items()}
    return rows
