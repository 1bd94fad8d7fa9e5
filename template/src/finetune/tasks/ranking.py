"""Ranking: order documents by relevance to a query; a cross-encoder reads query and document together."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..console import counted
from ..data.features import Encoded, Feature
from ..data.numbers import number_of
from ..data.rows import Row
from ..errors import UserError
from .base import Task
from .intervals import Array, ratio
from .objective import at_least_fp32
from .ranks import first_ranks
from .results import Scores, Summary, Table, WrongPrediction
from .settings import Ranking
from .state import Finite, State
from .tabular import Values
from .texts import text_of, tokenize


@dataclass(slots=True)
class Example:
    """A query and its list of documents; `rows` holds the row of the file of each document."""

    query: str
    documents: list[str] = field(default_factory=list)
    labels: list[float] = field(default_factory=list)
    """Relevance, 0 or more; empty where it is not known."""
    rows: list[int] = field(default_factory=list)
    extra: list[Values] = field(default_factory=list)
    """Tabular features of each document."""

    def __post_init__(self) -> None:
        self.extra = self.extra or [()] * len(self.documents)


class Fitted(State):
    """The highest relevance."""

    highest: Finite


class RankingTask(Task[Example, list[float]]):
    """A score for each document of a query; the higher, the earlier it comes."""

    settings: Ranking
    groups_rows = True
    fitted = Fitted

    def __init__(self, settings: Ranking) -> None:
        super().__init__(settings)
        self.highest = 1.0

    @property
    def group_by_example(self) -> bool:
        return self.settings.loss == "listwise"

    def parse(self, rows: Sequence[Row], *, labelled: bool = True) -> list[Example]:
        """The rows of a query, wherever they stand, form one example."""
        lists: dict[str, Example] = {}
        for number, one in enumerate(super().parse(rows, labelled=labelled)):
            example = lists.setdefault(one.query, Example(one.query))
            example.documents += one.documents
            example.labels += one.labels
            example.extra += one.extra
            example.rows.append(number)
        return list(lists.values())

    def first_rows(self, examples: Sequence[Example]) -> Sequence[int]:
        return [example.rows[0] for example in examples]

    def rows_of(self, examples: Sequence[Example]) -> Sequence[Sequence[int]]:
        return [example.rows for example in examples]

    def example(self, row: Row) -> Example:
        """A list of one document."""
        labels = [_relevance(row)] if row.values.get("label") is not None else []
        return Example(text_of(row, "query"), [text_of(row, "document")], labels, extra=[self.tabular.read(row)])

    def to_rows(self, example: Example) -> list[dict[str, Any]]:
        of_documents = zip(example.documents, example.labels, example.extra, strict=True)
        return [
            {"query": example.query, "document": document, "label": label, **self.tabular.as_columns(values)}
            for document, label, values in of_documents
        ]

    def tabular_values(self, examples: Sequence[Example]) -> list[Values]:
        return [values for example in examples for values in example.extra]

    def fit(self, examples: Sequence[Example]) -> None:
        labels = {label for example in examples for label in example.labels}
        if len(labels) < 2:
            raise UserError(f"data.train: every label is {labels.pop():g}: a ranking needs documents that differ")
        self.highest = max(labels)
        self.tabular.fit(self.tabular_values(examples))

    def extend(self, examples: Sequence[Example]) -> None:
        self.highest = max(self.highest, *(label for example in examples for label in example.labels))

    def model_options(self) -> dict[str, Any]:
        return {"num_labels": 1, "problem_type": "regression"}

    def texts(self, examples: Sequence[Example]) -> Iterable[str]:
        for example in examples:
            yield example.query
            yield from example.documents

    def summary(self, example: Example) -> Summary:
        grade = example.labels[0]  # `check-data` looks at each row, a list of one document
        return Summary(tuple(self.texts([example])), f"{grade:g}", number=grade, others=example.extra[0])

    def encode(self, examples: Sequence[Example], tokenizer: Any, max_length: int) -> Encoded:
        pairs = [(example.query, document) for example in examples for document in example.documents]
        rows, truncated = tokenize(pairs, tokenizer, max_length)
        tokenized = iter(rows)
        features = []
        for number, example in enumerate(examples):
            labels = example.labels or [0.0] * len(example.documents)
            scored = [1] * len(labels)
            if self.settings.loss == "listwise":  # the list is scored once, and only if a document in it is relevant
                scored = [int(any(labels)), *[0] * (len(labels) - 1)]
            for label, scored_labels, values in zip(labels, scored, example.extra, strict=True):
                extra = self.tabular.encode(values)
                features.append(Feature(number, next(tokenized), [label], scored_labels, extra=extra))
        return Encoded(features, truncated)

    def batch_labels(self, features: Sequence[Feature], length: int) -> Tensor:
        """(rows, 2): the query of each document, and its relevance."""
        return torch.tensor([[feature.example, feature.labels[0]] for feature in features], dtype=torch.float64)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        scores = at_least_fp32(logits).squeeze(-1)
        queries, relevance = labels[:, 0], labels[:, 1].to(scores.dtype)
        if self.settings.loss == "pointwise":
            return F.binary_cross_entropy_with_logits(scores, relevance / self.highest, reduction="sum")
        lists = [queries == query for query in queries.unique()]
        return torch.stack([_softmax_loss(scores[rows], relevance[rows]) for rows in lists]).sum()

    def distillation_loss(self, logits: Tensor, targets: Tensor, labels: Tensor, temperature: float) -> Tensor:
        return F.mse_loss(at_least_fp32(logits), at_least_fp32(targets), reduction="sum")

    def decode(self, logits: Tensor, labels: Tensor) -> list[Any]:
        return at_least_fp32(logits).squeeze(-1).tolist()

    def predictions(
        self, examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any]
    ) -> list[list[float]]:
        scores = iter(decoded)
        return [[next(scores) for _ in example.documents] for example in examples]

    def score(self, examples: Sequence[Example], predictions: Sequence[list[float]]) -> Scores:
        pairs = [
            (np.array(example.labels), np.array(scores))
            for example, scores in zip(examples, predictions, strict=True)
            if any(example.labels)  # without a relevant document every order is as good
        ]
        per_query = [_metrics(relevance, scores) for relevance, scores in pairs]
        names = ("ndcg@10", "ndcg@3", "mrr", "map", "recall@1", "recall@3")
        means = {name: float(np.mean([metrics[name] for metrics in per_query])) if pairs else 0.0 for name in names}
        documents = sum(len(relevance) for relevance, _ in pairs)
        columns = ["queries with a relevant document", "their documents"]
        scored = Table("Scored", columns, [[len(pairs), documents]], "The metrics are means over queries.")
        return Scores(means, [scored, first_ranks([round(1 / metrics["mrr"]) for metrics in per_query])])

    def contributions(self, examples: Sequence[Example], predictions: Sequence[list[float]]) -> Array:
        """Of each query NDCG@10, 1; zeros without a relevant document."""
        pairs = zip(examples, predictions, strict=True)
        values = [(_ndcg(np.array(e.labels), np.array(s), 10), 1.0) if any(e.labels) else (0.0, 0.0) for e, s in pairs]
        return np.array(values)

    def headline(self, sums: Array) -> Array:
        """Mean NDCG@10."""
        return ratio(sums[..., 0], sums[..., 1])

    def size(self, examples: Sequence[Example]) -> str:
        documents = sum(len(example.documents) for example in examples)
        return f"{counted(len(examples), 'query', 'queries')} with {counted(documents, 'document')}"

    def baselines(self, examples: Sequence[Example], features: Sequence[Feature]) -> dict[str, list[list[float]]]:
        return {
            "the order of the file": [[-float(i) for i in range(len(example.documents))] for example in examples],
            "words shared with the query": [
                [_overlap(example.query, document) for document in example.documents] for example in examples
            ],
        }

    def errors(self, examples: Sequence[Example], predictions: Sequence[list[float]]) -> list[WrongPrediction]:
        """Of each query the two documents that are most clearly in the wrong order.

        `truth` is the more relevant one, `prediction` and `row` the one that is put above it, and the size is the
        probability of that order, the sigmoid of the difference of the scores (RankNet, Burges et al. 2005).
        """
        found = []
        for example, row in zip(examples, predictions, strict=True):
            labels, scores = np.array(example.labels), np.array(row)
            # [i, j]: by how much i is above j, where j is the more relevant one
            margins = np.where(labels[:, None] < labels, scores[:, None] - scores, 0.0)
            above, below = (int(index) for index in np.unravel_index(margins.argmax(), margins.shape))
            if (margin := float(margins[above, below])) > 0:
                documents = example.documents[below], example.documents[above]
                probability = 1 / (1 + math.exp(-margin))
                found.append(WrongPrediction(example.rows[above], example.query, *documents, probability))
        return found

    def records(self, examples: Sequence[Example], predictions: Sequence[list[float]]) -> list[dict[str, Any]]:
        records: dict[int, dict[str, Any]] = {}
        for example, scores in zip(examples, predictions, strict=True):
            order = np.argsort(-np.array(scores), kind="stable").tolist()
            for row, score, place in zip(example.rows, scores, np.argsort(order).tolist(), strict=True):
                records[row] = {"score": score, "rank": place + 1}
        return [records[row] for row in sorted(records)]


def _relevance(row: Row) -> float:
    wanted = "a relevance of 0 or more"
    label = number_of(row.values["label"], row.place, "the label", wanted)
    if label < 0:
        raise UserError(f"{row.place}: the label is {row.values['label']!r}: write {wanted}")
    return label


def _softmax_loss(scores: Tensor, relevance: Tensor) -> Tensor:
    """Cross-entropy between the shares of relevance and the softmax of the scores (Bruch et al. 2019).

    Of the scores and the relevance of one query's documents; 0 where nothing is relevant.
    """
    shares = relevance / relevance.sum().clamp(min=torch.finfo(relevance.dtype).tiny)
    return -(shares * scores.log_softmax(-1)).sum()


def _metrics(relevance: "np.ndarray[Any, Any]", scores: "np.ndarray[Any, Any]") -> dict[str, float]:
    """Of one query."""
    from sklearn.metrics import average_precision_score

    relevant = relevance[np.argsort(-scores, kind="stable")] > 0
    return {
        **{f"ndcg@{k}": _ndcg(relevance, scores, k) for k in (3, 10)},
        "mrr": 1 / (int(np.argmax(relevant)) + 1),
        "map": float(average_precision_score(relevance > 0, scores)),
        **{f"recall@{k}": float(relevant[:k].sum() / relevant.sum()) for k in (1, 3)},
    }


def _ndcg(relevance: "np.ndarray[Any, Any]", scores: "np.ndarray[Any, Any]", k: int) -> float:
    """NDCG@k of one query, with linear gains, as in Järvelin and Kekäläinen (2002) and in scikit-learn."""
    from sklearn.metrics import ndcg_score

    if len(relevance) == 1:  # scikit-learn refuses a list of one, whose order is right
        return 1.0
    return float(ndcg_score([relevance], [scores], k=k))


def _overlap(query: str, document: str) -> float:
    """Share of the query's words that the document has."""
    words = set(query.lower().split())
    return len(words & set(document.lower().split())) / len(words)
