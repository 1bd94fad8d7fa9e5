"""Sequence-to-sequence tasks: an encoder-decoder reads a source and generates a target."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.features import IGNORE, Encoded, Feature
from ..data.rows import Row
from .generative import Generated, GenerativeTask, sample_table
from .intervals import Array
from .results import Scores, Summary, WrongPrediction
from .settings import Seq2SeqSettings
from .texts import text_of, tokenize


@dataclass(frozen=True, slots=True)
class Example:
    """A source, and its target where it is known."""

    source: str
    target: str | None


class Seq2SeqTask(GenerativeTask[Example]):
    """Cross-entropy of the target's tokens; metrics compare generated texts with the targets."""

    settings: Seq2SeqSettings

    def example(self, row: Row) -> Example:
        return Example(text_of(row, "source"), text_of(row, "target") if row.values.get("target") is not None else None)

    def texts(self, examples: Sequence[Example]) -> Iterable[str]:
        for example in examples:
            yield self.settings.prefix + example.source
            yield str(example.target)

    def summary(self, example: Example) -> Summary:
        return Summary((example.source,), str(example.target), generates=True)

    def encode(self, examples: Sequence[Example], tokenizer: Any, max_length: int) -> Encoded:
        self.read_tokenizer(tokenizer)
        texts = [self.settings.prefix + example.source for example in examples]
        sources, truncated = tokenize([(text, None) for text in texts], tokenizer, max_length)
        known = [example.target or "" for example in examples]
        longest = self.settings.max_target_length
        targets = tokenizer(text_target=known, truncation=True, max_length=longest)["input_ids"]
        return Encoded(
            [
                Feature(i, {"input_ids": row["input_ids"]}, target, len(target), [], len(target), row["input_ids"])
                for i, (row, target) in enumerate(zip(sources, targets, strict=True))
            ],
            truncated=truncated,
        )

    def model_inputs(self, model: Any, inputs: dict[str, Tensor], labels: Tensor) -> dict[str, Any]:
        # A copy, for FSMT changes what it is given.
        shift = getattr(model, "prepare_decoder_input_ids_from_labels", partial(_shift_right, model.config))
        return {**inputs, "decoder_input_ids": shift(labels.clone()), "use_cache": False}

    def prompt_and_reference(self, example: Example) -> tuple[str, str]:
        return example.source, str(example.target)

    def errors(self, examples: Sequence[Example], predictions: Sequence[Generated]) -> list[WrongPrediction]:
        """The generated texts that differ from the reference, sized by 1 - `similarity`."""
        found = []
        for row, (example, prediction) in enumerate(zip(examples, predictions, strict=True)):
            size = 0.0 if prediction.text is None else 1 - self.similarity(str(example.target), prediction.text)
            if size > 0:
                found.append(WrongPrediction(row, *self.prompt_and_reference(example), str(prediction.text), size))
        return found

    @abstractmethod
    def similarity(self, reference: str, generated: str) -> float:
        """How close a generated text is to the reference, from 0 to 1."""

    @abstractmethod
    def text_metrics(self, references: list[str], generated: list[str]) -> dict[str, float]:
        """Metrics of generated texts, the main metric first."""

    def score(self, examples: Sequence[Example], predictions: Sequence[Generated]) -> Scores:
        pairs = [(e, p.text) for e, p in zip(examples, predictions, strict=True) if p.text is not None]
        metrics = self.text_metrics([str(example.target) for example, _ in pairs], [text for _, text in pairs])
        if any(prediction.scored_tokens for prediction in predictions):
            metrics |= self.token_metrics(predictions)
        shown = [[e.source, str(e.target), text] for e, text in pairs[: self.generation.samples]]
        return Scores(metrics, sample_table(["source", "reference", "generated"], shown))

    def contributions(self, examples: Sequence[Example], predictions: Sequence[Generated]) -> Array:
        """`text_sums` of each generated text."""
        texts = [prediction.text or "" for prediction in predictions]
        return np.array(self.text_sums([str(example.target) for example in examples], texts), dtype=float)

    @abstractmethod
    def text_sums(self, references: list[str], generated: list[str]) -> list[list[float]]:
        """What each generated text adds to the sums of the main metric."""


def _shift_right(config: Any, labels: Tensor) -> Tensor:
    """Decoder inputs for architectures without a method for it, such as NLLB: the start token, all labels but the last.

    (rows, tokens) each; what is not scored becomes padding.
    """
    start = labels.new_full((len(labels), 1), config.decoder_start_token_id)
    shifted = torch.cat([start, labels[:, :-1]], dim=1)
    return shifted.masked_fill(shifted == IGNORE, config.pad_token_id)
