"""The rows that are least like the others, with what makes each strange: to be read, for errors hide among them."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from math import log, log2
from operator import itemgetter
from typing import Any

import numpy as np

from .duplicates import Duplicate
from .findings import Entry
from .near_duplicates import words_of

MOST = 10
STRANGE = 3.0
"""Standard deviations from the mean from which on a row is strange in some respect ..."""
CAP = 10.0
"""... and beyond which it does not get stranger: one measure must not fill the whole list."""
TIMES = 4
"""Ratio to the median length from which on a row is strange even where all others are of one length."""
RARE_WORDS = 0.3
"""The same for the share of words that no other row has."""
RARE_CHARACTERS = 1.5
"""The same for characters, in bits: they are a third as frequent as those of other rows."""
OFTEN, MOSTLY = 5, 1 / 3
"""Times that a word occurs, and its share of a row, from which on the row says little else."""

Numbers = np.ndarray[Any, Any]
Measured = tuple[Numbers, Callable[[int], str]]
"""Standard deviations from the mean for each row, and what to say of a row where they are many."""


@dataclass(frozen=True, slots=True)
class Outlier:
    """A row, how strange it is, and why."""

    entry: Entry
    score: float
    """Sum of the standard deviations from the mean of all that is strange in it, each up to CAP."""
    reasons: list[str]


def find_outliers(entries: Sequence[Entry], tokens: Sequence[int], twins: Sequence[Duplicate]) -> list[Outlier]:
    """Up to ten rows, the strangest first; fewer where hardly any stands out."""
    words = [words_of(entry.text) for entry in entries]
    measures = [_length(tokens), _rare_words(words), _characters(entries), _monotony(words), *_number(entries)]
    scores = np.zeros(len(entries))
    reasons: dict[int, list[str]] = defaultdict(list)
    for deviations, reason in measures:
        for index in np.flatnonzero(deviations >= STRANGE).tolist():
            scores[index] += min(deviations[index], CAP)
            reasons[index].append(reason(index))
    positions = {id(entry): index for index, entry in enumerate(entries)}
    for twin in twins:
        index = positions[id(twin.row)]
        if twin.contradicts and not twin.row.is_short:
            scores[index] += CAP
            reasons[index].append(f"{twin.earlier.place} has the same text and another answer")

    def rank(index: int) -> tuple[float, int]:
        return -scores[index], index

    # Of equal texts the first: what is written last into a dictionary stays.
    different = {tuple(words[index]): index for index in sorted(reasons, key=rank, reverse=True)}
    chosen = sorted(different.values(), key=rank)[:MOST]
    return [Outlier(entries[index], float(scores[index]), reasons[index]) for index in chosen]


def _deviations(values: Numbers) -> Numbers:
    """How far above the mean each value is, in standard deviations."""
    spread = values.std()
    return (values - values.mean()) / spread if spread > 0 else np.zeros(len(values))


def _length(tokens: Sequence[int]) -> Measured:
    """Long or short, as a ratio: twice as long is as strange as half as long."""
    median = int(np.median(tokens))
    logs = np.log1p(tokens)
    deviations = np.where(np.abs(logs - np.log1p(median)) >= log(TIMES), np.abs(_deviations(logs)), 0.0)
    return deviations, lambda index: f"{tokens[index]:,} tokens, where half have {median:,} or fewer"


def _rare_words(words: Sequence[list[str]]) -> Measured:
    """Words that no other row has; one or two, such as a name, are nothing strange."""
    different = [set(some) for some in words]
    frequency = Counter(word for some in different for word in some)
    rare = [sum(frequency[word] == 1 for word in some) for some in different]
    shares = np.array([n / len(some) if n > 2 else 0.0 for n, some in zip(rare, different, strict=True)])
    deviations = np.where(shares >= RARE_WORDS, _deviations(shares), 0.0)
    return deviations, lambda index: f"{shares[index]:.0%} of its words are in no other row"


def _characters(entries: Sequence[Entry]) -> Measured:
    """Another alphabet, signs, emoji, ...: how many bits more than usual it takes to guess each character."""
    texts = [re.sub(r"\d", "0", entry.text.casefold()) for entry in entries]
    frequency = Counter(chain.from_iterable(texts))
    bits = {character: log2(frequency.total() / count) for character, count in frequency.items()}
    usual = sum(bits[character] * count for character, count in frequency.items()) / frequency.total()
    surplus = np.array([sum(map(bits.__getitem__, text)) / max(1, len(text)) - usual for text in texts])
    lengths = np.array([len(text) for text in texts])
    deviations = np.where((surplus >= RARE_CHARACTERS) & (lengths >= OFTEN), _deviations(surplus), 0.0)

    def reason(index: int) -> str:
        rarest = sorted(set(texts[index]), key=lambda character: -bits[character])[:5]
        return f"characters that are rare here, such as {' '.join(rarest)}"

    return deviations, reason


def _monotony(words: Sequence[list[str]]) -> Measured:
    """One word again and again, as in "la la la la la", which is strange wherever it occurs."""
    top = [max(Counter(some).items(), key=itemgetter(1), default=("", 0)) for some in words]
    shares = np.array([n / len(some) if n >= OFTEN else 0.0 for (_, n), some in zip(top, words, strict=True)])
    return np.where(shares >= MOSTLY, CAP, 0.0), lambda index: f"'{top[index][0]}' is {shares[index]:.0%} of its words"


def _number(entries: Sequence[Entry]) -> Iterator[Measured]:
    """A number far from all others, where the answer is one."""
    numbers = np.array([entry.summary.number for entry in entries if entry.summary.number is not None])
    if len(numbers) == len(entries):
        reason = f"where half are {np.median(numbers):g} or less"
        yield np.abs(_deviations(numbers)), lambda index: f"its number is {numbers[index]:g}, {reason}"
