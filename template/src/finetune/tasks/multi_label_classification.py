"""Multi-label classification: any number of labels for a text or a pair of texts."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..data.features import Feature
from ..data.label_values import labels_of
from ..data.rows import Row
from ..errors import UserError
from .class_loss import binary_cross_entropy, class_weights
from .intervals import Array, ratio
from .labels import label_options, require_known
from .objective import at_least_fp32
from .probabilities import ProbabilityTask, softmax, with_opposite
from .results import Curves, ErrorKind, Scores, Summary, Table, WrongPrediction, macro_note
from .settings import MultiLabelClassification
from .state import Labels, ProbabilityState, Share, TextState
from .tabular import Values
from .texts import TextTask, is_scored, joined, pair_of


@dataclass(frozen=True, slots=True)
class Example:
    """A text, perhaps its partner, and its labels where they are known."""

    text: str
    text_pair: str | None
    labels: list[str] | None
    extra: Values = ()
    """Its tabular features."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The labels above the threshold, and the probability of each label in the order of the task's."""

    labels: list[str]
    probabilities: list[float]


class Fitted(TextState, ProbabilityState):
    """Labels in the order of the model's outputs, the most frequent ones, and the threshold of all."""

    labels: Labels
    frequent: list[str]
    threshold: Share


class MultiLabelClassificationTask(ProbabilityTask[Example, Prediction], TextTask[Example, Prediction]):
    """Binary cross-entropy for each label; one threshold for all, chosen on the validation data."""

    settings: MultiLabelClassification
    fitted = Fitted

    def __init__(self, settings: MultiLabelClassification) -> None:
        super().__init__(settings)
        self.labels: list[str] = []
        self.frequent: list[str] = []
        self.threshold = 0.5

    def example(self, row: Row) -> Example:
        (text, pair), extra = pair_of(row), self.tabular.read(row)
        labels = row.values.get("labels")
        if labels is None:
            return Example(text, pair, None, extra)
        labels = labels_of(labels, row.place, self.labels)
        for label in labels:
            require_known("label", label, self.labels, row.place)
        return Example(text, pair, labels, extra)

    def fit_targets(self, examples: Iterable[Example]) -> None:
        self.labels, self.weights = [], None
        self.extend_targets(examples)

    def extend_targets(self, examples: Iterable[Example]) -> None:
        counts, size = Counter[str](), 0
        for example in examples:
            counts.update(example.labels or [])
            size += 1
        earlier = dict(zip(self.labels, self.weights or [], strict=False))
        self.labels += sorted(counts.keys() - self.labels)
        if not self.labels:
            raise UserError("data.train: no example has a label: add labels to some")
        self.frequent = self._frequent(counts, size)
        balanced = {label: (size - count) / count for label, count in counts.items() if count < size}
        self.weights = class_weights(self.settings, self.labels, balanced, earlier)

    def _frequent(self, counts: Counter[str], examples: int) -> list[str]:
        """The labels that most examples have, or at least the most frequent one."""
        frequent = [label for label in self.labels if counts[label] > examples / 2]
        return frequent or [max(self.labels, key=lambda label: counts[label])]

    def model_options(self) -> dict[str, Any]:
        return label_options(self.labels, problem_type="multi_label_classification")

    def summary(self, example: Example) -> Summary:
        labels = tuple(sorted(example.labels or []))
        return Summary(tuple(self.texts([example])), ", ".join(labels) or "none", labels, others=example.extra)

    def target(self, example: Example) -> list[float]:
        return [float(label in (example.labels or [])) for label in self.labels]

    def batch_labels(self, features: Sequence[Feature], length: int) -> Tensor:
        return torch.tensor([feature.labels for feature in features])

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        logits = at_least_fp32(logits)
        # The mean over labels: one example weighs the same however many labels there are.
        targets = labels.to(logits.dtype).nan_to_num()
        losses = binary_cross_entropy(logits, targets, self.weights, self.settings).mean(-1)
        return (losses * is_scored(labels)).sum()

    def unit_losses(self, logits: Tensor, labels: Tensor, units: Sequence[Sequence[int]]) -> Tensor:
        losses = _mean_over_labels(at_least_fp32(logits), labels.nan_to_num())
        return torch.stack([(losses * is_scored(labels))[list(rows)].sum() for rows in units])

    def distillation_loss(self, logits: Tensor, targets: Tensor, labels: Tensor, temperature: float) -> Tensor:
        soft = (at_least_fp32(targets) / temperature).sigmoid()
        hotter = at_least_fp32(logits) / temperature
        losses = _mean_over_labels(hotter, soft)
        return (losses * is_scored(labels)).sum() * temperature**2

    def labelled_logits(
        self, examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any]
    ) -> tuple[Array, NDArray[np.int64]]:
        """Each label of each example by itself: whether it is absent or present."""
        true = np.array([self.target(example) for example in examples], np.int64)
        return with_opposite(self.of_examples(features, decoded)).reshape(-1, 2), true.ravel()

    def at_temperature(self, temperature: float) -> Self:
        changed = super().at_temperature(temperature)
        # The sigmoid of its logit, which is multiplied by the power.
        power = self.temperature / temperature
        present, absent = self.threshold**power, (1 - self.threshold) ** power
        changed.threshold = present / (present + absent)
        return changed

    def calibrate_with(self, logits: Array, true: NDArray[np.int64]) -> None:
        """The temperature, and the threshold with the best micro F1.

        The threshold is half-way between two probabilities that occur at a temperature of 1, so that no answer depends
        on the one that is chosen.
        """
        super().calibrate_with(logits, true)
        chosen, self.temperature = self.temperature, 1.0
        self.threshold = self._best_threshold(logits, true)
        self.threshold, self.temperature = self.at_temperature(chosen).threshold, chosen

    def _best_threshold(self, logits: Array, true: NDArray[np.int64]) -> float:
        probabilities = softmax(logits, 1.0)[:, 1]
        order = np.argsort(-probabilities, kind="stable")
        sorted_probabilities, hits = probabilities[order], np.cumsum(true[order])
        f1 = 2 * hits / (np.arange(1, len(order) + 1) + true.sum())
        ends = np.flatnonzero(np.append(np.diff(sorted_probabilities) < 0, True))  # equal ones stand or fall together
        best = ends[np.argmax(f1[ends])]
        following = sorted_probabilities[best + 1] if best + 1 < len(order) else 0.0
        return float((sorted_probabilities[best] + following) / 2)

    def predictions(
        self, examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any]
    ) -> list[Prediction]:
        logits = with_opposite(self.of_examples(features, decoded))
        return [
            Prediction([label for label, p in zip(self.labels, row, strict=True) if p > self.threshold], row)
            for row in softmax(logits, self.temperature)[..., 1].tolist()
        ]

    def score(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> Scores:
        from sklearn import metrics

        true = self._indicators([example.labels or [] for example in examples])
        predicted = self._indicators([prediction.labels for prediction in predictions])
        columns = range(len(self.labels))
        present = [column for column in columns if true[:, column].any()] or columns
        averages = {
            kind: metrics.precision_recall_fscore_support(
                true, predicted, labels=present if kind == "macro" else columns, average=kind, zero_division=0
            )
            for kind in (None, "micro", "macro", "weighted", "samples")
        }
        per_label = zip(self.labels, *(column.tolist() for column in averages[None]), strict=True)
        rows: list[list[str | int | float]] = [[name, p, r, f, int(n)] for name, p, r, f, n in per_label]
        support = int(true.sum())
        rows += [[f"{kind} avg", *map(float, averages[kind][:3]), support] for kind in ("micro", "macro", "weighted")]
        return Scores(
            metrics={
                **{f"f1_{kind}": float(averages[kind][2]) for kind in ("micro", "macro", "weighted", "samples")},
                "exact_match": float(metrics.accuracy_score(true, predicted)),
                "hamming_loss": float((true != predicted).sum() / (len(true) * len(self.labels))),
            },
            tables=[
                Table(
                    "Per label",
                    ["label", "precision", "recall", "f1", "support"],
                    rows,
                    note=macro_note(
                        self.labels,
                        [self.labels[column] for column in present],
                        f"A label counts as predicted above {self.threshold:.3f}, chosen on the validation data.",
                    ),
                )
            ],
            curves=[self._by_threshold(true, predictions)],
        )

    def contributions(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> Array:
        """True positives, false positives, false negatives."""
        pairs = [(set(e.labels or []), set(p.labels)) for e, p in zip(examples, predictions, strict=True)]
        return np.array([[len(t & p), len(p - t), len(t - p)] for t, p in pairs], dtype=float)

    def headline(self, sums: Array) -> Array:
        """Micro F1."""
        return ratio(2 * sums[..., 0], 2 * sums[..., 0] + sums[..., 1] + sums[..., 2])

    def _by_threshold(self, true: "np.ndarray[Any, Any]", predictions: Sequence[Prediction]) -> Curves:
        """Micro precision, recall and F1 at thresholds from 0 to the last of 0.99 above which a label is predicted.

        Without predictions there is no precision.
        """
        probabilities = np.array([prediction.probabilities for prediction in predictions])
        right = np.sort(probabilities[true[:, : len(self.labels)] == 1])
        thresholds = np.arange(100) / 100
        thresholds = thresholds[thresholds < probabilities.max()]
        predicted = probabilities.size - np.searchsorted(np.sort(probabilities, axis=None), thresholds, side="right")
        hits = right.size - np.searchsorted(right, thresholds, side="right")
        lines = {
            "precision": hits / predicted,
            "recall": hits / max(right.size, 1),
            "f1": 2 * hits / (predicted + right.size),
        }
        return Curves(
            "Precision and recall by threshold (micro average)",
            "threshold",
            thresholds.tolist(),
            {name: line.tolist() for name, line in lines.items()},
            self.threshold,
        )

    def _indicators(self, label_sets: Sequence[list[str]]) -> "np.ndarray[Any, Any]":
        """(examples, labels); at least two columns, for scikit-learn takes a single one for something else."""
        names = [*self.labels, ""] if len(self.labels) == 1 else self.labels
        return np.array([[int(name in labels) for name in names] for labels in label_sets])

    def baselines(self, examples: Sequence[Example], features: Sequence[Feature]) -> dict[str, list[Prediction]]:
        certain = [float(label in self.frequent) for label in self.labels]
        return {f"always {', '.join(self.frequent)}": [Prediction(self.frequent, certain)] * len(examples)}

    def errors(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[WrongPrediction]:
        """Sized by the highest probability of a wrong decision: a label too many, or a missing one."""
        found = []
        for row, (example, prediction) in enumerate(zip(examples, predictions, strict=True)):
            true, chosen = set(example.labels or []), set(prediction.labels)
            pairs = zip(self.labels, prediction.probabilities, strict=True)
            wrong = [p if label in chosen else 1 - p for label, p in pairs if (label in chosen) != (label in true)]
            if wrong:
                truth, told = (", ".join(sorted(labels)) or "none" for labels in (true, chosen))
                kinds = (
                    *(ErrorKind("missed", label) for label in sorted(true - chosen)),
                    *(ErrorKind("invented", label) for label in sorted(chosen - true)),
                )
                found.append(WrongPrediction(row, joined(example), truth, told, max(wrong), kinds))
        return found

    def answers(
        self, examples: Sequence[Example], predictions: Sequence[Prediction]
    ) -> tuple[Array, NDArray[np.bool_]]:
        """The predicted labels."""
        found = [
            (probability, label in (example.labels or []))
            for example, prediction in zip(examples, predictions, strict=True)
            for label, probability in self._chosen(prediction)
        ]
        return np.array([share for share, _ in found]), np.array([right for _, right in found], bool)

    def withhold(self, predictions: Sequence[Prediction], least: float) -> tuple[list[Prediction], int]:
        """These labels are left out."""
        kept = [
            replace(prediction, labels=[label for label, share in self._chosen(prediction) if share >= least])
            for prediction in predictions
        ]
        return kept, sum(len(p.labels) for p in predictions) - sum(len(p.labels) for p in kept)

    def _chosen(self, prediction: Prediction) -> list[tuple[str, float]]:
        """The predicted labels with their probabilities."""
        pairs = zip(self.labels, prediction.probabilities, strict=True)
        return [(label, probability) for label, probability in pairs if label in prediction.labels]

    def records(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
        return [
            {"prediction": p.labels, "probabilities": dict(zip(self.labels, p.probabilities, strict=True))}
            for p in predictions
        ]


def _mean_over_labels(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of each example, (n,), of logits and targets (n, labels)."""
    losses = F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), reduction="none")
    return losses.mean(-1)
