"""Pairs of texts that are nearly the same: most of their three-word sequences are shared (Broder 1997).

A text is the set of its three-word sequences, less case, punctuation and digits; two texts are near if these sets have
a Jaccard similarity of `NEAR`. Such sets must share one of the rarest sequences of either, so only texts that do are
compared (prefix filtering, Bayardo et al. 2007): the time grows with the number of texts, not with its square.
"""

import re
import unicodedata
import zlib
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from ..console import progress
from .findings import WORD

NEAR = 0.8
WIDTH = 3
LEAST_WORDS = 8
"""Shorter texts are not compared: a single different word changes too much of them."""
SKETCH = 100
"""Most sequences kept of a text: those with the smallest hashes (bottom-k sketch)."""
COMMON = 50
"""Most texts that are looked up for one sequence: one that many texts share distinguishes little."""

Hashes = np.ndarray[Any, np.dtype[np.uint64]]
DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Near:
    """A text and an earlier near-duplicate, by index."""

    index: int
    other: int
    similarity: float


def words_of(text: str) -> list[str]:
    """The words of a text without case, punctuation and digits."""
    return WORD.findall(DIGITS.sub(" ", unicodedata.normalize("NFKC", text).casefold()))


def near_pairs(texts: Sequence[tuple[str, ...]]) -> Iterator[Near]:
    """For each text, which may have several parts, an earlier near-duplicate if there is one.

    One with equal sequences is preferred to a similar one, then the first.
    """
    sketches = _Sketches(texts)
    seen: dict[int, list[int]] = defaultdict(list)
    with progress("looking for near-duplicates", len(texts)) as advance:
        for index in range(len(texts)):
            advance(1)
            prefix = sketches.prefix(index)
            candidates = {other for sequence in prefix for other in seen[sequence]}
            own = sketches.set_of(index) if candidates else frozenset()
            similar = {other: jaccard(own, sketches.set_of(other)) for other in candidates}
            for other in sorted(similar, key=lambda other: (similar[other] < 1, other)):
                if similar[other] >= NEAR and _same_parts(texts[index], texts[other]):
                    yield Near(index, other, similar[other])
                    break
            for sequence in prefix:
                if len(seen[sequence]) < COMMON:
                    seen[sequence].append(index)


class _Sketches:
    """The sketches of all texts, behind each other in one array."""

    def __init__(self, texts: Sequence[tuple[str, ...]]) -> None:
        hashes, self._ends = array("Q"), array("Q", [0])
        with progress("reading three-word sequences", len(texts)) as advance:
            for parts in texts:
                hashes.frombytes(_sketch(parts).tobytes())
                self._ends.append(len(hashes))
                advance(1)
        self._hashes: Hashes = np.frombuffer(hashes, np.uint64)
        ordered = np.sort(self._hashes)
        self._shared = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        self._counts = np.searchsorted(ordered, self._shared, "right") - np.searchsorted(ordered, self._shared)

    def set_of(self, index: int) -> frozenset[int]:
        """The sequences of a text."""
        return frozenset(self._sketch(index).tolist())

    def prefix(self, index: int) -> list[int]:
        """Of the rarest sequences of a text, of which any near-duplicate has one, those that another text has."""
        sketch = self._sketch(index)
        places = np.searchsorted(self._shared, sketch)
        places[places == len(self._shared)] = 0
        shared = self._shared[places] == sketch if len(self._shared) else np.zeros(len(sketch), bool)
        if not shared.any():
            return []
        counts = np.where(shared, self._counts[places], 1)
        rarest = np.argsort(counts, kind="stable")[: len(sketch) - ceil(NEAR * len(sketch)) + 1]
        found: list[int] = sketch[rarest[shared[rarest]]].tolist()
        return found

    def _sketch(self, index: int) -> Hashes:
        return self._hashes[self._ends[index] : self._ends[index + 1]]


def _sketch(parts: tuple[str, ...]) -> Hashes:
    """The sorted hashes of a text's three-word sequences; empty for a short text."""
    words = [word for part in parts for word in words_of(part)]
    if len(words) < LEAST_WORDS:
        return np.empty(0, np.uint64)
    numbers = np.fromiter((zlib.crc32(word.encode()) for word in words), np.uint64, len(words))
    mixed = np.zeros(len(words) - WIDTH + 1, np.uint64)
    for offset in range(WIDTH):
        mixed = (mixed + numbers[offset : offset + len(mixed)]) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return np.unique(mixed)[:SKETCH]


def jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    """Jaccard similarity of two sets from their sketches; exact for sets smaller than a sketch."""
    shorter, longer = sorted((len(one), len(other)))
    if shorter < NEAR * longer:  # their lengths alone exclude it
        return 0.0
    if longer < SKETCH:
        shared = len(one & other)
        return shared / (shorter + longer - shared)
    union = frozenset(sorted(one | other)[:SKETCH])
    return len(one & other & union) / len(union)


def _same_parts(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether each part is similar by its words: one premise with two short hypotheses is no near-duplicate."""
    if len(one) != len(other):
        return False
    pairs = [(set(words_of(a)), set(words_of(b))) for a, b in zip(one, other, strict=True)] if len(one) > 1 else []
    return all(len(a & b) >= NEAR * len(a | b) for a, b in pairs)
