"""BM25, and with features: how well the words of a document match a query, by the training data's word frequencies."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack, vstack

from ..tasks.bm25 import BM25, characters, tokenizer_of, words
from ..tasks.ranking import Example, RankingTask
from .linear import logistic
from .text_features import tabular_matrix

MOST_PAIRS, MOST_DOCUMENTS = 200_000, 1_000
"""Pairs of documents from which their order is learnt, and documents of a query that are taken for them."""


def trigrams(text: str) -> list[str]:
    """Three characters that follow each other in a word, with its boundaries."""
    return [f" {word} "[i : i + 3] for word in words(text) for i in range(len(word))]


class BM25Model:
    """BM25 alone: a score for each document of a query."""

    name = "BM25"

    def __init__(self, task: RankingTask, examples: Sequence[Example]) -> None:
        documents = list(dict.fromkeys(document for example in examples for document in example.documents))
        self.tokenize = tokenizer_of(documents)
        self.matching = BM25(documents, self.tokenize)
        self.described = (
            f"BM25 of {'characters 1-2' if self.tokenize is characters else 'words'}, {len(documents):,} documents"
        )

    def predictions(self, examples: Sequence[Example]) -> list[list[float]]:
        """A score for each document of each query."""
        return [[self.matching.score(example.query, one) for one in example.documents] for example in examples]


class BM25WithFeatures:
    """Logistic regression on differences of two documents of a query (pairwise learning to rank).

    Of a document: BM25 by words and by groups of three characters, the shares of common words in query and document,
    its length, and tabular features.
    """

    name = "BM25 with features"

    def __init__(self, task: RankingTask, examples: Sequence[Example], plain: BM25Model) -> None:
        documents = list(dict.fromkeys(document for example in examples for document in example.documents))
        self._task, self._tokenize = task, plain.tokenize
        self._scorers = [plain.matching, BM25(documents, trigrams)]
        self.described = f"{plain.described}; pairwise logistic regression"
        rows = self._matrix(examples)
        deviations = np.sqrt(np.maximum(rows.multiply(rows).mean(axis=0) - np.square(rows.mean(axis=0)), 0))
        self._scale = csr_matrix(1 / np.where(deviations > 0, deviations, 1.0))
        first, second = _ordered_pairs(examples)
        differences = (rows[first] - rows[second]).multiply(self._scale).tocsr()
        signs = np.repeat([1, -1], len(first))
        self._weights = logistic(vstack([differences, -differences]), signs, fit_intercept=False).coef_[0]

    def predictions(self, examples: Sequence[Example]) -> list[list[float]]:
        scores = iter((self._matrix(examples).multiply(self._scale).tocsr() @ self._weights).tolist())
        return [[next(scores) for _ in example.documents] for example in examples]

    def _matrix(self, examples: Sequence[Example]) -> Any:
        """(documents of all queries, features)."""
        rows = [self._row(example.query, document) for example in examples for document in example.documents]
        matrix = csr_matrix(np.array(rows))
        if not self._task.tabular:
            return matrix
        return hstack([matrix, tabular_matrix(self._task.tabular, self._task.tabular_values(examples))], format="csr")

    def _row(self, query: str, document: str) -> list[float]:
        wanted, found = set(self._tokenize(query)), self._tokenize(document)
        common = len(wanted.intersection(found))
        return [
            *(scorer.score(query, document) for scorer in self._scorers),
            common / max(1, len(wanted)),
            common / max(1, len(found)),
            math.log1p(len(found)),
        ]


def has_pairs(examples: Sequence[Example]) -> bool:
    """Whether any query has documents of different relevance."""
    return any(len({*example.labels}) > 1 for example in examples)


def _ordered_pairs(examples: Sequence[Example]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The numbers of two documents of a query, of which the first is more relevant: all pairs, or some of each query.

    Of a long list of documents only those at its beginning, for the number of pairs is quadratic.
    """
    generator, quota = np.random.default_rng(0), max(1, MOST_PAIRS // len(examples))
    pairs, start = [], 0
    for example in examples:
        labels = np.array(example.labels[:MOST_DOCUMENTS])
        found = np.argwhere(labels[:, None] > labels) + start
        pairs.append(found if len(found) <= quota else generator.choice(found, quota, replace=False))
        start += len(example.documents)
    first, second = np.concatenate(pairs).T
    return first, second
