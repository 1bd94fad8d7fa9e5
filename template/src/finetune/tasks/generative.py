"""Generative tasks: cross-entropy and perplexity of the reference tokens, and generated samples."""

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ..console import progress
from ..data.features import IGNORE, Feature
from ..errors import UserError
from .base import E, Task
from .class_loss import smoothing_in_training
from .results import Table, WrongPrediction
from .settings import Generation, GenerativeSettings
from .state import State
from .token_scores import TokenScores, cross_entropy, score_tokens

LONGEST_SHOWN = 400
"""Characters of a text that a table of samples shows."""
LARGEST_LOSS = 700.0
"""Of a larger one, the perplexity has no float."""


@dataclass(frozen=True, slots=True)
class Generated:
    """A prediction: how well the model predicts the reference text, and the text that it generates itself."""

    loss: float = 0.0
    """Negative log-likelihood of the reference, summed over its tokens."""
    scored_tokens: int = 0
    """Tokens of the reference that are scored."""
    correct_tokens: int = 0
    """Those of them to which the model gives the highest probability."""
    text: str | None = None
    """The text generated after the prompt; None where none was generated."""


class Fitted(State):
    """Size of the vocabulary, the tokens that end a text, and how often each token was seen."""

    vocabulary: Annotated[int, Field(ge=1)]
    ends: list[int]
    frequencies: dict[Annotated[str, Field(pattern=r"^[0-9]{1,18}$")], Annotated[int, Field(ge=0)]]


class GenerativeTask(Task[E, Generated]):
    """Cross-entropy of each token of the reference text; the head comes with the pretrained model."""

    generation: Generation
    error_measure = "loss per token"
    fitted: ClassVar[type[Fitted]] = Fitted

    def __init__(self, settings: GenerativeSettings) -> None:
        super().__init__(settings)
        self.generation, self.label_smoothing = settings.generation, settings.label_smoothing
        self.frequencies: dict[int, int] = {}
        self.vocabulary = 1

    def generation_limit(self, purpose: str) -> int | None:
        needed = bool(self.settings.text_metrics)  # otherwise only samples are generated
        match purpose:
            case "loss":
                return 0
            case "validation":
                return self.generation.validation_examples if needed else 0
            case "evaluation":
                return None if needed else self.generation.samples
            case _:
                return None

    def state(self) -> dict[str, Any]:
        return {
            "vocabulary": self.vocabulary,
            "ends": [*self.stop_tokens],
            "frequencies": {str(token): count for token, count in self.frequencies.items()},
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.fitted.model_validate(state)
        self.vocabulary, self.stop_tokens = state["vocabulary"], state["ends"]
        self.frequencies = {int(token): count for token, count in state["frequencies"].items()}

    def read_tokenizer(self, tokenizer: Any) -> None:
        self.vocabulary, self.stop_tokens = len(tokenizer), [end_token(tokenizer)]

    def fit_features(self, features: Sequence[Feature]) -> None:
        counts = Counter[int]()
        with progress("counting tokens", len(features)) as advance:
            for feature in features:
                counts.update(self.target_tokens(feature))
                advance(1)
        self.frequencies = dict(counts)

    def target_tokens(self, feature: Feature) -> list[int]:
        """The tokens that are scored."""
        return [int(label) for label in feature.labels if label != IGNORE]

    def batch_labels(self, features: Sequence[Feature], length: int) -> Tensor:
        """(rows, tokens of the longest target), padded with IGNORE."""
        longest = max(len(feature.labels) for feature in features)
        return torch.tensor([feature.labels + [IGNORE] * (longest - len(feature.labels)) for feature in features])

    @property
    def scores_tokens(self) -> bool:
        """Not where a task of one's own computes something else from the logits."""
        own, here = type(self), GenerativeTask
        return own.loss is here.loss and own.decode is here.decode

    def align(self, values: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits or hidden states, and the labels that they predict, position by position."""
        return values, labels

    def scored(self, values: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        values, labels = self.align(values, labels)
        kept = labels != IGNORE
        return values[kept], labels[kept]

    def loss(self, logits: Tensor | TokenScores, labels: Tensor) -> Tensor:
        if isinstance(logits, TokenScores):
            return logits.loss
        return cross_entropy(*self.scored(logits, labels), smoothing_in_training(self.label_smoothing))

    def distillation_loss(self, logits: Tensor, targets: Tensor, labels: Tensor, temperature: float) -> Tensor:
        (logits, aligned), (targets, _) = self.align(logits, labels), self.align(targets, labels)
        return super().distillation_loss(logits, targets, aligned, temperature)

    def decode(self, logits: Tensor | TokenScores, labels: Tensor) -> list[Any]:
        """Loss, scored tokens and correct tokens of each row."""
        scores = logits if isinstance(logits, TokenScores) else score_tokens(*self.scored(logits, labels))
        losses, correct = scores.losses.cpu().double(), scores.correct.cpu().double()  # an Apple GPU has no fp64
        rows = (self.align(labels, labels)[1] != IGNORE).nonzero()[:, 0].cpu()
        sums = torch.zeros(len(labels), 3, dtype=torch.float64, device="cpu")
        sums.index_add_(0, rows, torch.stack([losses, torch.ones_like(losses), correct], 1))
        return [(loss, int(scored), int(correct)) for loss, scored, correct in sums.tolist()]

    def unit_losses(self, logits: Tensor | TokenScores, labels: Tensor, units: Sequence[Sequence[int]]) -> Tensor:
        rows = self.decode(logits, labels)
        return torch.tensor([sum(rows[row][0] for row in unit) for unit in units], dtype=torch.float64)

    def predictions(
        self, examples: Sequence[E], features: Sequence[Feature], decoded: Sequence[Any]
    ) -> list[Generated]:
        """A long example has several features, of which the first one has a prompt."""
        totals = [(0.0, 0, 0)] * len(examples)
        texts: list[str | None] = [None] * len(examples)
        for feature, (sums, text) in zip(features, decoded, strict=True):
            if sums:
                totals[feature.example] = tuple(map(sum, zip(totals[feature.example], sums, strict=True)))  # type: ignore[assignment]
            if text is not None:
                texts[feature.example] = text
        return [Generated(*total, text) for total, text in zip(totals, texts, strict=True)]

    def token_metrics(self, predictions: Sequence[Generated]) -> dict[str, float]:
        """Perplexity (effective number of equally likely next tokens) and accuracy over the tokens of all examples."""
        scored = max(1, sum(prediction.scored_tokens for prediction in predictions))
        loss = sum(prediction.loss for prediction in predictions) / scored
        return {
            "perplexity": math.exp(min(loss, LARGEST_LOSS)),
            "token_accuracy": sum(prediction.correct_tokens for prediction in predictions) / scored,
        }

    def unigram_baseline(self, examples: Sequence[E], features: Sequence[Feature]) -> list[Generated]:
        """A unigram model: the frequency of each token in the training data, with add-one smoothing."""
        total = sum(self.frequencies.values()) + self.vocabulary
        targets = map(self.target_tokens, features)
        losses = [[-math.log((self.frequencies.get(token, 0) + 1) / total) for token in tokens] for tokens in targets]
        decoded = [((sum(row), len(row), 0), None) for row in losses]
        return self.predictions(examples, features, decoded)

    @abstractmethod
    def prompt_and_reference(self, example: E) -> tuple[str, str]:
        """The prompt, and the reference text after it."""

    def errors(self, examples: Sequence[E], predictions: Sequence[Generated]) -> list[WrongPrediction]:
        """All examples, as no text is the only right one; sized by the loss per token of the reference text."""
        return [
            WrongPrediction(
                row,
                *self.prompt_and_reference(example),
                prediction.text or "",
                prediction.loss / max(1, prediction.scored_tokens),
            )
            for row, (example, prediction) in enumerate(zip(examples, predictions, strict=True))
        ]

    def records(self, examples: Sequence[E], predictions: Sequence[Generated]) -> list[dict[str, Any]]:
        return [{"prediction": prediction.text} for prediction in predictions]


def sample_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Table]:
    """A table of texts; none where there are no rows."""
    shown: list[list[str | int | float]] = [[_shown(cell) for cell in row] for row in rows]
    return [Table("Samples", list(columns), shown)] if rows else []


def _shown(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= LONGEST_SHOWN else f"{flat[: LONGEST_SHOWN - 3]}..."


def end_token(tokenizer: Any) -> int:
    """The token that ends a text. Raises UserError if the tokenizer has none."""
    if tokenizer.eos_token_id is None:
        raise UserError("model.name: the tokenizer has no end-of-sequence token: choose a model that generates texts")
    return int(tokenizer.eos_token_id)
