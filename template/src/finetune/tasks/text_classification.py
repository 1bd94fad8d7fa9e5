"""Text classification: one label for a text or a pair of texts."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..data.features import IGNORE, Feature
from ..data.label_values import label_name
from ..data.rows import Row
from ..errors import UserError
from .class_loss import class_weights, cross_entropy, inverse_frequencies
from .intervals import Array, ratio
from .labels import label_options, require_known
from .objective import at_least_fp32
from .probabilities import ProbabilityTask, softmax
from .results import ConfusionMatrix, ErrorKind, Scores, Summary, Table, WrongPrediction, macro_note
from .settings import TextClassification
from .state import Labels, ProbabilityState, TextState
from .tabular import Values
from .texts import TextTask, joined, pair_of


@dataclass(frozen=True, slots=True)
class Example:
    """A text, perhaps its partner, and its label where it is known."""

    text: str
    text_pair: str | None
    label: str | None
    extra: Values = ()
    """Its tabular features."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The likeliest label and the probabilities of all, in the order of the task's labels."""

    label: str | None
    """None where it is withheld."""
    probabilities: list[float]


class Fitted(TextState, ProbabilityState):
    """Labels in the order of the model's outputs, and the most frequent one."""

    labels: Labels
    majority: str


class TextClassificationTask(ProbabilityTask[Example, Prediction], TextTask[Example, Prediction]):
    """Cross-entropy over the labels found in the training data."""

    settings: TextClassification
    fitted = Fitted

    def __init__(self, settings: TextClassification) -> None:
        super().__init__(settings)
        self.labels: list[str] = []
        self.majority = ""

    def example(self, row: Row) -> Example:
        (text, pair), extra = pair_of(row), self.tabular.read(row)
        label = row.values.get("label")
        if label is None:
            return Example(text, pair, None, extra)
        name = label_name(label)
        if name is None:
            raise UserError(f"{row.place}: the label is {label!r}: write one word or number")
        require_known("label", name, self.labels, row.place)
        return Example(text, pair, name, extra)

    def fit_targets(self, examples: Iterable[Example]) -> None:
        counts = Counter(str(example.label) for example in examples)
        if len(counts) < 2:
            only = next(iter(counts))
            raise UserError(f"data.train: every label is '{only}': a classifier needs examples of two labels or more")
        self.labels, self.weights = [], None
        self._update(counts)

    def extend_targets(self, examples: Iterable[Example]) -> None:
        self._update(Counter(str(example.label) for example in examples))

    def _update(self, counts: Counter[str]) -> None:
        earlier = dict(zip(self.labels, self.weights or [], strict=False))
        self.labels += [label for label in _sorted(counts) if label not in self.labels]
        self.majority = max(self.labels, key=lambda label: counts[label])
        self.weights = class_weights(self.settings, self.labels, inverse_frequencies(counts), earlier)

    def model_options(self) -> dict[str, Any]:
        # problem_type: a single label must not be taken for a regression where there happen to be few labels.
        return label_options(self.labels, problem_type="single_label_classification")

    def summary(self, example: Example) -> Summary:
        return Summary(tuple(self.texts([example])), str(example.label), (str(example.label),), others=example.extra)

    def target(self, example: Example) -> list[int]:
        return [self.labels.index(example.label) if example.label is not None else 0]

    def batch_labels(self, features: Sequence[Feature], length: int) -> Tensor:
        return torch.tensor([feature.labels[0] for feature in features])

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(logits, labels, self.weights, self.settings)

    def unit_losses(self, logits: Tensor, labels: Tensor, units: Sequence[Sequence[int]]) -> Tensor:
        losses = F.cross_entropy(at_least_fp32(logits), labels, ignore_index=IGNORE, reduction="none")
        return torch.stack([losses[list(rows)].sum() for rows in units])

    def labelled_logits(
        self, examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any]
    ) -> tuple[Array, NDArray[np.int64]]:
        true = [self.labels.index(str(example.label)) for example in examples]
        return np.array(self.of_examples(features, decoded)), np.array(true)

    def predictions(
        self, examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any]
    ) -> list[Prediction]:
        logits = np.array(self.of_examples(features, decoded))
        rows = zip(logits.argmax(-1), softmax(logits, self.temperature).tolist(), strict=True)
        return [Prediction(self.labels[best], row) for best, row in rows]

    def score(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> Scores:
        from sklearn import metrics

        true = [str(example.label) for example in examples]
        predicted = [prediction.label for prediction in predictions]
        occurring = {*true}
        present = [label for label in self.labels if label in occurring]
        averages = {
            kind: metrics.precision_recall_fscore_support(
                true, predicted, labels=present if kind == "macro" else self.labels, average=kind, zero_division=0
            )
            for kind in (None, "micro", "macro", "weighted")
        }
        per_label = zip(self.labels, *(column.tolist() for column in averages[None]), strict=True)
        rows: list[list[str | int | float]] = [[name, p, r, f, int(n)] for name, p, r, f, n in per_label]
        rows += [[f"{kind} avg", *map(float, averages[kind][:3]), len(true)] for kind in ("macro", "weighted")]
        counts = metrics.confusion_matrix(true, predicted, labels=self.labels)
        return Scores(
            metrics={
                "accuracy": float(metrics.accuracy_score(true, predicted)),
                **{f"f1_{kind}": float(averages[kind][2]) for kind in ("macro", "micro", "weighted")},
                "mcc": float(metrics.matthews_corrcoef(true, predicted)),
            },
            tables=[
                Table(
                    "Per label",
                    ["label", "precision", "recall", "f1", "support"],
                    rows,
                    note=macro_note(self.labels, present),
                )
            ],
            matrices=[ConfusionMatrix("Confusion matrix", self.labels, counts.tolist())],
        )

    def contributions(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> Array:
        """Right, 1."""
        pairs = zip(examples, predictions, strict=True)
        return np.array([[prediction.label == example.label, 1] for example, prediction in pairs], dtype=float)

    def headline(self, sums: Array) -> Array:
        """Accuracy."""
        return ratio(sums[..., 0], sums[..., 1])

    def baselines(self, examples: Sequence[Example], features: Sequence[Feature]) -> dict[str, list[Prediction]]:
        certain = [float(label == self.majority) for label in self.labels]
        return {f"always '{self.majority}'": [Prediction(self.majority, certain)] * len(examples)}

    def errors(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[WrongPrediction]:
        """Sized by the probability of the wrong label."""
        return [
            WrongPrediction(
                row,
                joined(example),
                str(example.label),
                str(prediction.label),
                max(prediction.probabilities),
                (ErrorKind("confusion", f"{example.label} → {prediction.label}"),),
            )
            for row, (example, prediction) in enumerate(zip(examples, predictions, strict=True))
            if prediction.label != example.label
        ]

    def answers(
        self, examples: Sequence[Example], predictions: Sequence[Prediction]
    ) -> tuple[Array, NDArray[np.bool_]]:
        pairs = zip(examples, predictions, strict=True)
        right = [example.label == prediction.label for example, prediction in pairs]
        return np.array([max(prediction.probabilities) for prediction in predictions]), np.array(right)

    def withhold(self, predictions: Sequence[Prediction], least: float) -> tuple[list[Prediction], int]:
        """The label becomes None; its probability stays."""
        kept = [p if max(p.probabilities) >= least else replace(p, label=None) for p in predictions]
        return kept, sum(prediction.label is None for prediction in kept)

    def records(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
        return [
            {
                "prediction": prediction.label,
                "probability": max(prediction.probabilities),
                "probabilities": dict(zip(self.labels, prediction.probabilities, strict=True)),
            }
            for prediction in predictions
        ]


def _sorted(labels: Iterable[str]) -> list[str]:
    """Numbers by value, words by alphabet: the order must not depend on that of the data."""
    return sorted(labels, key=lambda label: (0, int(label), label) if label.lstrip("-").isdecimal() else (1, 0, label))
