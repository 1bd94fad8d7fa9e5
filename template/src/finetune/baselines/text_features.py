"""Features of texts for linear models, as sparse matrices: TF-IDF of words and characters, pairs, tabular features.

Of a text: words and pairs of neighbouring words, and the 3 to 5 characters that follow each other inside a word; where
words are not set apart by spaces, 1 to 3 characters alone. Of a pair: those of both texts, and their products, which
tell what both have; and the cosine of the two. Tabular features are joined as the model reads them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from ..tasks.bm25 import is_spaceless
from ..tasks.tabular import TabularFeatures, Values
from ..tasks.texts import HasText

WORD = r"(?u)\w+|[^\w\s]"
"""A word or a punctuation mark: an exclamation mark tells something as well."""
MOST_FEATURES = 2**18
"""Features of a kind of n-gram: those that most texts have."""
MOST_WEIGHTS = 2**22
"""The same, times the outputs of the model: what bounds its memory."""


class Ngrams:
    """TF-IDF of the n-grams of texts: 1 + log(count), times the inverse document frequency; rows have norm 1."""

    def __init__(self, analyzer: str, lengths: tuple[int, int], most: int) -> None:
        """`analyzer`: word, char, or char_wb for characters inside words (with their boundaries)."""
        pattern = WORD if analyzer == "word" else None
        self._counter = CountVectorizer(analyzer=analyzer, token_pattern=pattern, ngram_range=lengths, dtype=np.float32)
        self._inside_words, self._most = analyzer == "char_wb", most
        self._weights = TfidfTransformer(sublinear_tf=True)

    def fit(self, texts: Sequence[str]) -> None:
        counts = self._counts(texts, self._counter.fit_transform)
        frequency = np.bincount(counts.indices, minlength=counts.shape[1])
        self._kept = np.sort(np.argsort(-frequency, kind="stable")[: self._most])
        self._weights.fit(counts[:, self._kept])

    def transform(self, texts: Sequence[str]) -> Any:
        return self._weights.transform(self._counts(texts, self._counter.transform)[:, self._kept])

    def _counts(self, texts: Sequence[str], count: Any) -> Any:
        """(texts, n-grams). N-grams inside words are counted once for each different word, five times as fast."""
        if not self._inside_words:
            return count(texts)
        words = CountVectorizer(token_pattern=r"(?u)\S+", dtype=np.float32)
        in_texts = words.fit_transform(texts)
        return in_texts @ count(words.get_feature_names_out())


class TextFeatures:
    """Turns examples into the rows of a matrix, after `fit`."""

    def __init__(self, tabular: TabularFeatures, outputs: int) -> None:
        """`outputs`: numbers that the model predicts for an example."""
        self._tabular = tabular
        self._most = min(MOST_FEATURES, MOST_WEIGHTS // outputs)

    def fit(self, examples: Sequence[HasText]) -> None:
        firsts, seconds = _sides(examples)
        texts = [*firsts, *filter(None, seconds)]
        self.spaceless = is_spaceless(texts)
        kinds = [("char", (1, 3))] if self.spaceless else [("word", (1, 2)), ("char_wb", (3, 5))]
        self._kinds = [Ngrams(analyzer, lengths, self._most) for analyzer, lengths in kinds]
        for kind in self._kinds:
            kind.fit(texts)
        self._paired = any(seconds)

    @property
    def described(self) -> str:
        """The features in words."""
        texts = "characters 1-3" if self.spaceless else "words 1-2 and characters 3-5"
        pairs = ", of both texts and their product" if self._paired else ""
        return f"TF-IDF of {texts}{pairs}{', tabular features' if self._tabular else ''}"

    def transform(self, examples: Sequence[HasText]) -> Any:
        """(examples, features)."""
        firsts, seconds = _sides(examples)
        blocks: list[Any] = []
        for kind in self._kinds:
            first = kind.transform(firsts)
            blocks.append(first)
            if self._paired:
                second = kind.transform(seconds)
                product = first.multiply(second)
                blocks += [second, product, csr_matrix(product.sum(axis=1))]
        if self._tabular:
            blocks.append(tabular_matrix(self._tabular, [example.extra for example in examples]))
        return hstack(blocks, format="csr", dtype=np.float32)


def _sides(examples: Sequence[HasText]) -> tuple[list[str], list[str]]:
    """The first and second texts; the second is empty where there is none."""
    return [example.text for example in examples], [example.text_pair or "" for example in examples]


def tabular_matrix(tabular: TabularFeatures, rows: Sequence[Values]) -> Any:
    """(rows, features): a number and whether it is missing, a column for each value of a category."""
    encoded = np.array([tabular.encode(values) for values in rows], dtype=np.float32)
    blocks = []
    for column, values in zip(tabular.columns.values(), encoded.T, strict=True):
        if column["type"] == "number":
            blocks.append(csr_matrix(np.stack([np.nan_to_num(values), np.isnan(values)], axis=1)))
        else:
            known = np.flatnonzero(values >= 0)
            shape = len(rows), len(column["values"])
            blocks.append(csr_matrix((np.ones(len(known)), (known, values[known].astype(int))), shape))
    return hstack(blocks, format="csr", dtype=np.float32)
