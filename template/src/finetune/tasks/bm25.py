"""BM25 (Okapi): how well the words of a document match a query, by how rare they are in the corpus."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import islice, pairwise

import numpy as np
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
        tokens = self._tokenize(document)
        counts, norm = Counter(tokens), K1 * (1 - B + B * len(tokens) / self._mean)
        return sum(
            times * self.idf(token) * counts[token] * (K1 + 1) / (counts[token] + norm)
            for token, times in Counter(self._tokenize(query)).items()
            if token in counts
        )

    def score_all(self, queries: Sequence[str], documents: Sequence[str]) -> Score:
        """The same scores, of each query for all documents, as products of sparse matrices."""
        from scipy.sparse import csr_matrix
        from sklearn.feature_extraction.text import CountVectorizer

        counter = CountVectorizer(analyzer=self._tokenize)
        try:
            found = counter.fit_transform(documents).tocoo()
        except ValueError:  # no document has a token
            return lambda rows: np.zeros((len(queries[rows]), len(documents)))
        norms = K1 * (1 - B + B * np.asarray(found.sum(1)).ravel() / self._mean)
        idf = np.array([self.idf(token) for token in counter.get_feature_names_out()])
        gains = idf[found.col] * found.data * (K1 + 1) / (found.data + norms[found.row])
        weights = csr_matrix((gains, (found.row, found.col)), found.shape).T.tocsr()
        counts = counter.transform(queries)
        return lambda rows: (counts[rows] @ weights).toarray()


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
