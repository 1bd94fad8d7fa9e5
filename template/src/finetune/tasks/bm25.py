"""BM25 (Okapi): how well the words of a document match a query, by how rare they are in the corpus."""

import math
from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from itertools import islice, pairwise
from typing import Any

import regex

from .entities import BY_CHARACTER
from .nearest import Score

Tokenize = Callable[[str], list[str]]

K1, B = 1.2, 0.75
"""How soon a repeated word counts no more, and how much long documents are discounted: the usual values."""
WORD = regex.compile(r"\w+")
LETTERS = regex.compile(r"\p{L}")
LETTERS_WITHOUT_SPACES = regex.compile(rf"[[\p{{L}}]&&[{BY_CHARACTER}]]", regex.VERSION1)
EXAMINED = 1_000
"""Texts by which the kind of script is told."""


class BM25:
    """Okapi BM25 (Robertson and Zaragoza 2009), with the inverse document frequency of Lucene, which is above 0."""

    def __init__(self, documents: Iterable[str], tokenize: Tokenize) -> None:
        self._tokenize = tokenize
        self._documents, tokens = 0, 0
        self._frequency: Counter[str] = Counter()
        for document in documents:
            found = tokenize(document)
            self._documents += 1
            tokens += len(found)
            self._frequency.update(set(found))
        self._mean = tokens / self._documents or 1.0

    def idf(self, token: str) -> float:
        """Inverse document frequency: log(1 + (N - n + 0.5) / (n + 0.5)), where n of N documents have the token."""
        found = self._frequency[token]
        return math.log1p((self._documents - found + 0.5) / (found + 0.5))

    def score(self, query: str, document: str) -> float:
        """The sum over the query's tokens of idf · tf · (k1 + 1) / (tf + k1 · (1 - b + b · length / mean length))."""
        counts = Counter(self._tokenize(query))
        return sum(counts[token] * weight for token, weight in self._weights(document, counts).items())

    def score_all(self, queries: Sequence[str], documents: Sequence[str]) -> Score:
        """The same scores, of each query for all documents, as products of sparse matrices."""
        columns = {token: number for number, token in enumerate(self._frequency)}
        weights = _sparse([self._weights(document, columns) for document in documents], columns)
        counts = _sparse([Counter(self._tokenize(query)) for query in queries], columns)
        transposed = weights.T.tocsr()
        return lambda rows: (counts[rows] @ transposed).toarray()

    def _weights(self, document: str, wanted: Container[str]) -> dict[str, float]:
        """What each token of a document that is wanted adds to the score of a query that has it once."""
        tokens = self._tokenize(document)
        norm = K1 * (1 - B + B * len(tokens) / self._mean)
        return {
            token: self.idf(token) * times * (K1 + 1) / (times + norm)
            for token, times in Counter(tokens).items()
            if token in wanted
        }


def _sparse(rows: Sequence[dict[str, Any]], columns: dict[str, int]) -> Any:
    """(rows, columns): the values by their tokens; tokens without a column are left out."""
    from scipy.sparse import csr_matrix

    cells = [
        (number, columns[token], value)
        for number, row in enumerate(rows)
        for token, value in row.items()
        if token in columns
    ]
    lines, places, values = zip(*cells, strict=True) if cells else ((), (), ())
    return csr_matrix((values, (lines, places)), (len(rows), len(columns)), dtype=float)


def corpus_score(queries: Sequence[str], corpus: Sequence[str]) -> Score:
    """BM25 of each query for all documents of a corpus, for `nearest`; of words, or of characters where no spaces are.

    The word frequencies are those of the corpus.
    """
    return BM25(corpus, tokenizer_of(corpus)).score_all(queries, corpus)


def tokenizer_of(documents: Iterable[str]) -> Tokenize:
    """`words`, or `characters` for texts without spaces between words."""
    return characters if is_spaceless(documents) else words


def words(text: str) -> list[str]:
    """The words, in lower case."""
    return [match[0] for match in WORD.finditer(text.lower())]


def characters(text: str) -> list[str]:
    """Single characters and pairs, for texts without spaces between words."""
    joined = "".join(words(text))
    return [*joined, *map("".join, pairwise(joined))]


def is_spaceless(texts: Iterable[str]) -> bool:
    """Whether words are not set apart by spaces, by the first texts.

    It takes both: more than half of the letters belong to a script that can be written so, such as Chinese or Thai, and
    there are less than 1 / 10 as many spaces as letters. Korean, and Chinese cut into words, have more.
    """
    letters = without = spaces = 0
    for text in islice(texts, EXAMINED):
        letters += len(LETTERS.findall(text))
        without += len(LETTERS_WITHOUT_SPACES.findall(text))
        spaces += sum(map(str.isspace, text))
    return without > letters / 2 and spaces < letters / 10
