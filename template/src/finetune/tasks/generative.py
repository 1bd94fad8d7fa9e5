"""What tasks share whose predictions are texts: the loss of each token, its perplexity, and samples to look at."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data.features import IGNORE, Feature
from ..errors import UserError
from .base import E, Task, at_least_fp32
from .results import Table
from .settings import Generation

LONGEST_SHOWN = 400
"""Characters of a text that a table of samples shows."""


@dataclass(frozen=True, slots=True)
class Generated:
    """What the model says of an example: how well it foresees the true text, and what it writes itself."""

    loss: float = 0.0
    """Negative log-likelihood of the true text, summed over its tokens."""
    count: int = 0
    """Tokens of the true text that are scored."""
    hits: int = 0
    """Those of them that the model holds for the likeliest."""
    text: str | None = None
    """What it writes after the prompt; None if it was not asked."""


class GenerativeTask(Task[E, Generated]):
    """Cross-entropy of each token of the true text; the head comes with the pretrained model."""

    new_head = False
    refuses: ClassVar = {"head": "but a model that writes has no new head, its last layer is pretrained: use lora"}
    scores_texts: ClassVar[bool]
    """Whether the headline needs what the model writes; otherwise it writes samples only."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self.frequencies: dict[int, int] = {}
        self.vocabulary = 1

    def texts_wanted(self, purpose: str) -> int | None:
        assert self.generation
        match purpose:
            case "validation":
                return self.generation.validation_examples if self.scores_texts else 0
            case "evaluation":
                return None if self.scores_texts else self.generation.samples
            case _:
                return None

    def state(self) -> dict[str, Any]:
        return {
            "vocabulary": self.vocabulary,
            "ends": [*self.ends],
            "frequencies": {str(token): count for token, count in self.frequencies.items()},
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.vocabulary, self.ends = state["vocabulary"], state["ends"]
        self.frequencies = {int(token): count for token, count in state["frequencies"].items()}

    def model_options(self) -> dict[str, Any]:
        return {}

    def observe(self, features: Sequence[Feature]) -> None:
        self.frequencies = dict(Counter(token for feature in features for token in self.scored(feature)))

    def scored(self, feature: Feature) -> list[int]:
        """The tokens that count."""
        return [int(label) for label in feature.labels if label != IGNORE]

    def batch_labels(self, features: Sequence[Feature], length: int) -> Tensor:
        """(rows, tokens of the longest target), padded with IGNORE."""
        longest = max(len(feature.labels) for feature in features)
        return torch.tensor([feature.labels + [IGNORE] * (longest - len(feature.labels)) for feature in features])

    def aligned(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and the label that each of them foresees."""
        return logits, labels

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        logits, labels = self.aligned(logits, labels)
        kept = labels != IGNORE  # first, for the logits of a large vocabulary are the largest tensor of all
        return F.cross_entropy(at_least_fp32(logits[kept]), labels[kept], reduction="sum")

    def distillation_loss(self, logits: Tensor, targets: Tensor, labels: Tensor, temperature: float) -> Tensor:
        (logits, aligned), (targets, _) = self.aligned(logits, labels), self.aligned(targets, labels)
        return super().distillation_loss(logits, targets, aligned, temperature)

    def decode(self, logits: Tensor, labels: Tensor) -> list[Any]:
        """(loss, count, hits) of each row."""
        logits, labels = self.aligned(logits, labels)
        kept = labels != IGNORE
        chosen, truth = at_least_fp32(logits[kept]), labels[kept]
        losses = F.cross_entropy(chosen, truth, reduction="none").double()
        hits = (chosen.argmax(-1) == truth).double()
        rows = kept.nonzero()[:, 0]
        sums = torch.zeros(len(labels), 3, dtype=torch.float64, device="cpu")
        sums.index_add_(0, rows.cpu(), torch.stack([losses, torch.ones_like(losses), hits], 1).cpu())
        return [(loss, int(count), int(hit)) for loss, count, hit in sums.tolist()]

    def predictions(
        self, examples: Sequence[E], features: Sequence[Feature], decoded: Sequence[Any]
    ) -> list[Generated]:
        """A long example has several features, of which the first one has a prompt."""
        totals = [(0.0, 0, 0)] * len(examples)
        texts: list[str | None] = [None] * len(examples)
        for feature, (figures, text) in zip(features, decoded, strict=True):
            if figures:
                totals[feature.example] = tuple(map(sum, zip(totals[feature.example], figures, strict=True)))  # type: ignore[assignment]
            if text is not None:
                texts[feature.example] = text
        return [Generated(*total, text) for total, text in zip(totals, texts, strict=True)]

    def foreseen(self, predictions: Sequence[Generated]) -> dict[str, float]:
        """Metrics over the tokens of all examples."""
        count = max(1, sum(answer.count for answer in predictions))
        loss = sum(answer.loss for answer in predictions) / count
        return {
            "perplexity": math.exp(min(loss, 700)),  # a larger one has no float
            "token_accuracy": sum(answer.hits for answer in predictions) / count,
        }

    def by_frequency(self, examples: Sequence[E], features: Sequence[Feature]) -> list[Generated]:
        """A model that knows only how frequent each token was in the training data, smoothed by one."""
        total = sum(self.frequencies.values()) + self.vocabulary
        losses = [[-math.log((self.frequencies.get(t, 0) + 1) / total) for t in self.scored(f)] for f in features]
        decoded = [((sum(row), len(row), 0), None) for row in losses]
        return self.predictions(examples, features, decoded)

    def records(self, examples: Sequence[E], predictions: Sequence[Generated]) -> list[dict[str, Any]]:
        return [{"prediction": answer.text} for answer in predictions]


def sample_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Table]:
    """Texts to look at; nothing where there are none."""
    shown: list[list[str | int | float]] = [[_shown(cell) for cell in row] for row in rows]
    return [Table("Samples", list(columns), shown)] if rows else []


def _shown(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= LONGEST_SHOWN else f"{flat[: LONGEST_SHOWN - 3]}..."


def end_token(tokenizer: Any) -> int:
    """The token that ends a text. Raises UserError if the tokenizer has none."""
    if tokenizer.eos_token_id is None:
        raise UserError("model.name: the tokenizer has no token that ends a text: choose a model that can write texts")
    return int(tokenizer.eos_token_id)
