"""Retrieval: a bi-encoder turns queries and documents into vectors, so that a query is near to what answers it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..console import counted
from ..data.features import Encoded, Feature
from ..data.rows import Row
from ..errors import UserError
from .base import Task
from .contrastive import DOCUMENT, NEGATIVE, QUERY, row_losses
from .intervals import Array, ratio
from .nearest import Retrieved, Score, metrics, ndcg, nearest
from .pooling import pooled
from .ranks import first_ranks
from .results import Scores, Summary, Table, WrongPrediction
from .settings import Retrieval
from .texts import text_of, tokenize

BLOCK = 2**24
"""Similarities that are held at once where the loss of a split is computed."""


@dataclass(slots=True)
class Example:
    """A query, a document that answers it, and documents that do not."""

    query: str
    document: str | None = None
    """None where it is not known."""
    negatives: tuple[str, ...] = ()


class RetrievalTask(Task[Example, Retrieved]):
    """Vectors of norm 1; the larger their product, the better a document answers a query."""

    settings: Retrieval

    def example(self, row: Row) -> Example:
        return Example(text_of(row, "query"), _document(row), _negatives(row))

    def unlabelled_example(self, row: Row) -> Example:
        return Example(text_of(row, "query"))

    def to_rows(self, example: Example) -> list[dict[str, Any]]:
        row: dict[str, Any] = {"query": example.query, "document": example.document}
        return [{**row, "negatives": [*example.negatives]} if example.negatives else row]

    def model_options(self) -> dict[str, Any]:
        return {"use_cache": False}  # of a decoder, whose keys and values nobody needs

    def texts(self, examples: Sequence[Example]) -> Iterable[str]:
        for example in examples:
            yield self.with_prefix(example.query, "query")
            for document in _documents(example):
                yield self.with_prefix(document, "document")

    def with_prefix(self, text: str, role: str | None) -> str:
        """A text as the encoder reads it in this role: query or document; without a role it has no prefix."""
        prefix: str = getattr(self.settings.prefixes, role) if role else ""
        return prefix + text

    def row_of(self, text: str, text_pair: str | None) -> dict[str, Any]:
        if text_pair is not None:
            raise UserError("--text: a query is read by itself: leave out --text-pair")
        return {"query": text}

    def summary(self, example: Example) -> Summary:
        return Summary((example.query,), example.document or "", generates=True)  # a query may have several answers

    def encode(self, examples: Sequence[Example], tokenizer: Any, max_length: int) -> Encoded:
        """A feature for each text of an example: the query, its document, the negatives."""
        rows, truncated = tokenize([(text, None) for text in self.texts(examples)], tokenizer, max_length)
        inputs, features = iter(rows), []
        for number, example in enumerate(examples):
            query = _number_of(example.query)
            roles = [QUERY, *[DOCUMENT] * (example.document is not None), *[NEGATIVE] * len(example.negatives)]
            for role, text in zip(roles, [example.query, *_documents(example)], strict=True):
                features.append(Feature(number, next(inputs), [role, query, _number_of(text)], int(role == QUERY)))
        return Encoded(features, truncated)

    def encode_texts(self, texts: Sequence[str], role: str | None, tokenizer: Any, max_length: int) -> Encoded:
        """A feature for each text, all in one role, query or document, or without one."""
        rows, truncated = tokenize([(self.with_prefix(text, role), None) for text in texts], tokenizer, max_length)
        labels = [QUERY if role == "query" else NEGATIVE, 0, 0]
        return Encoded([Feature(number, row, labels, 0) for number, row in enumerate(rows)], truncated)

    def batch_labels(self, features: Sequence[Feature], length: int) -> Tensor:
        """(rows, 4): the example, the role, the number of the query's text and that of the row's own."""
        return torch.tensor([[feature.example, *feature.labels] for feature in features])

    def logits(self, output: Any, inputs: dict[str, Tensor]) -> Tensor:
        """(rows, width): the vectors, of norm 1; an ONNX graph gives them as they are."""
        if (states := getattr(output, "last_hidden_state", None)) is None:
            return super().logits(output, inputs)
        return pooled(states, inputs["attention_mask"], self.settings.pooling)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return self.row_losses(logits, labels).sum()

    def row_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        return row_losses(logits, labels, self.settings.temperature)

    def split_losses(self, features: Sequence[Feature], decoded: Sequence[Any]) -> Tensor:
        """Each query against all documents of the split."""
        labels = self.batch_labels(features, 0)
        vectors = torch.from_numpy(np.stack(decoded))
        queries, others = (labels[:, 1] == QUERY).nonzero()[:, 0], (labels[:, 1] != QUERY).nonzero()[:, 0]
        losses = vectors.new_zeros(len(vectors))
        for some in queries.split(max(1, BLOCK // max(1, len(others)))):
            rows = torch.cat([some, others])
            losses[some] = self.row_losses(vectors[rows], labels[rows])[: len(some)]
        return losses

    def distillation_loss(self, logits: Tensor, targets: Tensor, labels: Tensor, temperature: float) -> Tensor:
        return F.mse_loss(logits, targets.to(logits), reduction="sum")

    def decode(self, logits: Tensor, labels: Tensor) -> list[Any]:
        return list(logits.cpu().numpy())

    def predictions(
        self, examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any]
    ) -> list[Retrieved]:
        """What is found for each query in the corpus of all documents and negatives of the examples."""
        vectors: dict[str, Any] = {}
        queries: list[Any] = []
        of_examples = iter(decoded)
        for example in examples:
            queries.append(next(of_examples))
            vectors |= {document: next(of_examples) for document in _documents(example)}
        if not vectors:
            return [Retrieved(vector=vector) for vector in queries]
        matrix, of_queries = np.stack([*vectors.values()]), np.stack(queries)
        found = retrieved(examples, [*vectors], lambda rows: of_queries[rows] @ matrix.T)
        return [replace(one, vector=vector) for one, vector in zip(found, queries, strict=True)]

    def score(self, examples: Sequence[Example], predictions: Sequence[Retrieved]) -> Scores:
        found: dict[str, list[int]] = {}
        for example, one in zip(examples, predictions, strict=True):
            if one.ranks:
                found.setdefault(example.query, one.ranks)
        per_query = [metrics(ranks) for ranks in found.values()]
        means = {name: float(np.mean([one[name] for one in per_query] or [0.0])) for name in self.settings.metrics}
        rows: list[list[str | int | float]] = [[len(found), len(corpus_of(examples))]]
        note = "The metrics are means over queries. The corpus: all documents and negatives of these data."
        scored = Table("Scored", ["queries", "documents of the corpus"], rows, note)
        return Scores(means, [scored, first_ranks([ranks[0] for ranks in found.values()])])

    def contributions(self, examples: Sequence[Example], predictions: Sequence[Retrieved]) -> Array:
        """NDCG@10 and 1; zeros for an example whose query was there before."""
        seen: set[str] = set()
        values = []
        for example, one in zip(examples, predictions, strict=True):
            counts = bool(one.ranks) and example.query not in seen
            values.append((ndcg(one.ranks), 1.0) if counts else (0.0, 0.0))
            seen.add(example.query)
        return np.array(values)

    def headline(self, sums: Array) -> Array:
        """Mean NDCG@10."""
        return ratio(sums[..., 0], sums[..., 1])

    def size(self, examples: Sequence[Example]) -> str:
        queries = counted(len({example.query for example in examples}), "query", "queries")
        return f"{queries}, {counted(len(corpus_of(examples)), 'document')}"

    def baselines(self, examples: Sequence[Example], features: Sequence[Feature]) -> dict[str, list[Retrieved]]:
        return {"words shared with the query": shared_words(examples)}

    def errors(self, examples: Sequence[Example], predictions: Sequence[Retrieved]) -> list[WrongPrediction]:
        """Queries for which another document is nearer than any that answers them.

        The size is the probability of that order, by the loss: the sigmoid of the difference of the similarities
        divided by the temperature.
        """
        found = []
        for row, (example, one) in enumerate(zip(examples, predictions, strict=True)):
            if one.ranks and one.ranks[0] > 1:
                margin = (one.scores[0] - one.answer_score) / self.settings.temperature
                truth, magnitude = example.document or "", 1 / (1 + math.exp(-margin))
                found.append(WrongPrediction(row, example.query, truth, one.documents[0], magnitude))
        return found

    def records(self, examples: Sequence[Example], predictions: Sequence[Retrieved]) -> list[dict[str, Any]]:
        """The vector of each query."""
        return [{"embedding": one.vector.tolist() if one.vector is not None else None} for one in predictions]


def retrieved(examples: Sequence[Example], corpus: Sequence[str], score: Score) -> list[Retrieved]:
    """What is found for each example; documents of equal queries answer each of them."""
    number = {document: place for place, document in enumerate(corpus)}
    answers: dict[str, list[int]] = {}
    for example in examples:
        known = answers.setdefault(example.query, [])
        if example.document is not None and number[example.document] not in known:
            known.append(number[example.document])
    return nearest(score, corpus, [answers[example.query] for example in examples])


def corpus_of(examples: Sequence[Example]) -> list[str]:
    """All documents and negatives, each text once."""
    return list(dict.fromkeys(document for example in examples for document in _documents(example)))


def shared_words(examples: Sequence[Example]) -> list[Retrieved]:
    """Documents by the share of the query's words that they have."""
    from sklearn.feature_extraction.text import CountVectorizer

    corpus = corpus_of(examples)
    counts = CountVectorizer(analyzer=lambda text: text.lower().split(), binary=True)
    queries = counts.fit_transform([example.query for example in examples])
    documents = counts.transform(corpus).T.tocsc()
    return retrieved(examples, corpus, lambda rows: (queries[rows] @ documents).toarray())


def _documents(example: Example) -> tuple[str, ...]:
    return example.negatives if example.document is None else (example.document, *example.negatives)


def _document(row: Row) -> str | None:
    """A text, or a list of one, as BGE's training files have it."""
    value = row.values.get("document")
    if isinstance(value, list):
        if len(value) != 1:
            raise UserError(f"{row.place}: document has {counted(len(value), 'text')}: write a row for each of them")
        row = replace(row, values={**row.values, "document": value[0]})
    return None if value is None else text_of(row, "document")


def _negatives(row: Row) -> tuple[str, ...]:
    value = row.values.get("negatives")
    if value in (None, ""):
        return ()
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
        raise UserError(f"{row.place}: negatives is {value!r}: write a list of texts that do not answer the query")
    return tuple(texts)


def _number_of(text: str) -> int:
    """A number for a text, equal for equal ones only; above 32 bits, so that a column of them has one type."""
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=7).digest()) | 1 << 60
