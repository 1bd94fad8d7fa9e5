"""Outliers: the rows that differ most from the others, with the reasons. They are worth reading: many are errors."""

import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from math import log, log2
from operator import itemgetter
from typing import Any

import numpy as np

from ..console import progress
from .duplicates import Duplicate
from .findings import Entry
from .near_duplicates import words_of

MOST = 10
DEVIATIONS = 3.0
"""Standard deviations from the mean from which on a row is an outlier in some measure ..."""
CAP = 10.0
"""... and at which the score of one measure is capped, so that none fills the whole list."""
TIMES = 4
"""Least ratio to the median length, for data whose rows all have about the same length."""
RARE_WORDS = 0.3
"""Least share of words that occur in no other row."""
RARE_CHARACTERS = 1.5
"""Least surprisal of the characters above the mean, in bits per character: a third as frequent as usual."""
OFTEN, MOSTLY = 5, 1 / 3
"""Occurrences of a word, and its share of a row, from which on the row is repetitive."""

Numbers = np.ndarray[Any, Any]
Measured = tuple[Numbers, Callable[[int], str]]
"""Standard deviations from the mean for each row, and the reason to give for a row by its index."""


@dataclass(frozen=True, slots=True)
class Outlier:
    """A row, its outlier score and the reasons."""

    entry: Entry
    score: float
    """Sum of the standard deviations from the mean over all measures, each up to CAP."""
    reasons: list[str]


def find_outliers(entries: Sequence[Entry], tokens: Sequence[int], duplicates: Sequence[Duplicate]) -> list[Outlier]:
    """Up to `MOST` outliers, the highest score first."""
    rare, repeated = _words(entries)
    measures = [_length(tokens), rare, _characters(entries), repeated, *_number(entries)]
    scores = np.zeros(len(entries))
    reasons: dict[int, list[str]] = defaultdict(list)
    for deviations, reason in measures:
        for index in np.flatnonzero(deviations >= DEVIATIONS).tolist():
            scores[index] += min(deviations[index], CAP)
            reasons[index].append(reason(index))
    positions = {id(entry): index for index, entry in enumerate(entries)}
    for duplicate in duplicates:
        index = positions[id(duplicate.row)]
        if duplicate.contradicts and not duplicate.row.is_short:
            scores[index] += CAP
            reasons[index].append(f"{duplicate.earlier.place} has the same text and a different label")

    def rank(index: int) -> tuple[float, int]:
        return -scores[index], index

    # Of equal texts the one with the highest score: a dictionary keeps the last value of a key.
    different = {tuple(words_of(entries[index].text)): index for index in sorted(reasons, key=rank, reverse=True)}
    chosen = sorted(different.values(), key=rank)[:MOST]
    return [Outlier(entries[index], float(scores[index]), reasons[index]) for index in chosen]


def _deviations(values: Numbers) -> Numbers:
    """Standard deviations above the mean (z-scores)."""
    spread = values.std()
    return (values - values.mean()) / spread if spread > 0 else np.zeros(len(values))


def _length(tokens: Sequence[int]) -> Measured:
    """Length in tokens, on a log scale: twice as long counts as much as half as long."""
    median = int(np.median(tokens))
    logs = np.log1p(tokens)
    deviations = np.where(np.abs(logs - np.log1p(median)) >= log(TIMES), np.abs(_deviations(logs)), 0.0)
    return deviations, lambda index: f"{tokens[index]:,} tokens; the median is {median:,}"


def _words(entries: Sequence[Entry]) -> Iterator[Measured]:
    """Words that occur in no other row, of which one or two, such as names, do not count; and one repeated word, as in
    "la la la la la".
    """
    numbers: dict[str, int] = {}
    different, ends = array("I"), array("Q", [0])  # of each row, as numbers of words
    repeated = np.zeros(len(entries))
    with progress("counting words", len(entries)) as advance:
        for index, entry in enumerate(entries):
            counts = Counter(words_of(entry.text))
            different.extend(numbers.setdefault(word, len(numbers)) for word in counts)
            ends.append(len(different))
            most = max(counts.values(), default=0)
            repeated[index] = most / counts.total() if most >= OFTEN else 0.0
            advance(1)
    rows, words = np.frombuffer(ends, np.uint64).astype(np.int64), np.frombuffer(different, np.uint32)
    sizes = np.diff(rows)
    is_rare = (np.bincount(words, minlength=len(numbers)) == 1)[words]
    rare = np.diff(np.append(0, np.cumsum(is_rare))[rows])
    shares = np.where(rare > 2, rare / np.maximum(sizes, 1), 0.0)
    deviations = np.where(shares >= RARE_WORDS, _deviations(shares), 0.0)
    yield deviations, lambda index: f"{shares[index]:.0%} of its words occur in no other row"

    def reason(index: int) -> str:
        word, _ = max(Counter(words_of(entries[index].text)).items(), key=itemgetter(1))
        return f"'{word}' is {repeated[index]:.0%} of its words"

    yield np.where(repeated >= MOSTLY, CAP, 0.0), reason


def _characters(entries: Sequence[Entry]) -> Measured:
    """Rare characters (another alphabet, emoji, ...): mean surprisal of a row's characters above that of all rows."""

    def text(entry: Entry) -> str:
        return re.sub(r"\d", "0", entry.text.casefold())

    frequency = Counter(chain.from_iterable(map(text, entries)))
    bits = {character: log2(frequency.total() / count) for character, count in frequency.items()}
    usual = sum(bits[character] * count for character, count in frequency.items()) / frequency.total()
    surplus, lengths = np.zeros(len(entries)), np.zeros(len(entries))
    with progress("counting characters", len(entries)) as advance:
        for index, entry in enumerate(entries):
            characters = text(entry)
            surplus[index] = sum(map(bits.__getitem__, characters)) / max(1, len(characters)) - usual
            lengths[index] = len(characters)
            advance(1)
    deviations = np.where((surplus >= RARE_CHARACTERS) & (lengths >= OFTEN), _deviations(surplus), 0.0)

    def reason(index: int) -> str:
        rarest = sorted(set(text(entries[index])), key=lambda character: -bits[character])[:5]
        return f"rare characters, such as {' '.join(rarest)}"

    return deviations, reason


def _number(entries: Sequence[Entry]) -> Iterator[Measured]:
    """A number far from the mean, if the target is a number."""
    numbers = np.array([entry.summary.number for entry in entries if entry.summary.number is not None])
    if len(numbers) == len(entries):
        reason = f"the median is {np.median(numbers):g}"
        yield np.abs(_deviations(numbers)), lambda index: f"its number is {numbers[index]:g}; {reason}"
