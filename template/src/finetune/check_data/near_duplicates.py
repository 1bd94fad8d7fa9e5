"""Pairs of texts that are nearly the same: most of their three-word sequences are shared (Broder 1997).

A text is the set of its three-word sequences, less case, punctuation and digits; two texts are near if these sets have
a Jaccard similarity of `NEAR`. Such sets must share one of the rarest sequences of either, so only texts that do are
compared (prefix filtering, Bayardo et al. 2007): the time grows with the number of texts, not with its square.
"""

import re
import unicodedata
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

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
    sketches = [_sketch(parts) for parts in texts]
    hashes, counts = np.unique(np.concatenate([*sketches, np.empty(0, np.uint64)]), return_counts=True)
    sets: list[frozenset[int]] = []
    seen: dict[int, list[int]] = defaultdict(list)
    for index, sketch in enumerate(sketches):
        rarest = sketch[np.argsort(counts[np.searchsorted(hashes, sketch)], kind="stable")]
        prefix = rarest[: len(sketch) - ceil(NEAR * len(sketch)) + 1].tolist()
        sets.append(frozenset(sketch.tolist()))
        candidates = {other for sequence in prefix for other in seen[sequence]}
        similar = {other: jaccard(sets[index], sets[other]) for other in candidates}
        for other in sorted(similar, key=lambda other: (similar[other] < 1, other)):
            if similar[other] >= NEAR and _same_parts(texts[index], texts[other]):
                yield Near(index, other, similar[other])
                break
        for sequence in prefix:
            if len(seen[sequence]) < COMMON:
                seen[sequence].append(index)


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
