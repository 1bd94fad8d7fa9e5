"""Causal language models: a decoder predicts each token of a text from those before it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ..data.features import IGNORE, Feature
from .base import E
from .generative import LARGEST_LOSS, Generated, GenerativeTask, sample_table
from .intervals import Array
from .results import Scores


class CausalLMTask(GenerativeTask[E]):
    """A causal language model, whose main metric is the perplexity of the reference tokens."""

    def model_inputs(self, model: Any, inputs: dict[str, Tensor], labels: Tensor) -> dict[str, Any]:
        return {**inputs, "use_cache": False}

    def align(self, values: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return values[:, :-1], labels[:, 1:]

    def target_tokens(self, feature: Feature) -> list[int]:
        return [int(label) for label in feature.labels[1:] if label != IGNORE]

    def feature(self, example: int, ids: list[int], labels: list[int], prompt: list[int]) -> Feature:
        """`labels` stand at the positions of their tokens; the first token has no context, so it is not scored."""
        scored_labels = sum(label != IGNORE for label in labels[1:])
        return Feature(example, {"input_ids": ids}, labels, scored_labels, prompt=prompt)

    def prompt_limit(self, max_length: int) -> int:
        """Longest prompt in tokens: what max_new_tokens leaves of the context."""
        return max_length - self.generation.max_new_tokens

    def score(self, examples: Sequence[E], predictions: Sequence[Generated]) -> Scores:
        rows = [
            [*self.prompt_and_reference(example), prediction.text]
            for example, prediction in zip(examples, predictions, strict=True)
            if prediction.text is not None
        ]
        return Scores(self.token_metrics(predictions), sample_table(["prompt", "reference", "generated"], rows))

    def contributions(self, examples: Sequence[E], predictions: Sequence[Generated]) -> Array:
        """Of each text its loss and its scored tokens."""
        return np.array([[prediction.loss, prediction.scored_tokens] for prediction in predictions], dtype=float)

    def headline(self, sums: Array) -> Array:
        """Perplexity."""
        return np.exp(np.minimum(sums[..., 0] / np.maximum(1, sums[..., 1]), LARGEST_LOSS))

    def baselines(self, examples: Sequence[E], features: Sequence[Feature]) -> dict[str, list[Generated]]:
        return {"frequency of each token": self.unigram_baseline(examples, features)}
