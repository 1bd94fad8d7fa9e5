"""Split rows into train, validation and test: stratified by label, without leakage, the same for the same seed."""

import random
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..tasks.results import Summary

Labels = tuple[str, ...]
"""What a row is stratified by: its labels, the bin of its number, or nothing."""
RARE = 3
"""Groups of rows with a label below which all of them go to train: there are not enough for three splits."""
BINS = 10
"""Different numbers up to which each is a stratum; the most quantiles if there are more of them."""


@dataclass(slots=True)
class Group:
    """Rows that must not be split: those with equal texts, and those of one value of the group column."""

    rows: list[int] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)


def strata(summaries: Sequence[Summary]) -> list[Labels]:
    """What each row is stratified by."""
    numbers = np.array([summary.number for summary in summaries if summary.number is not None])
    if len(numbers) < len(summaries):
        return [tuple(sorted(set(summary.labels))) for summary in summaries]
    edges, counts = np.unique(numbers, return_counts=True)
    name = "{:g}"
    if len(edges) > BINS or counts.min() < RARE:
        bins = min(BINS, max(1, len(numbers) // RARE))
        edges, name = np.unique(np.quantile(numbers, np.arange(bins) / bins)), "from {:g}"
    return [(name.format(edges[bin - 1]),) for bin in np.searchsorted(edges, numbers, side="right")]


def groups_of(keys: Sequence[Sequence[Hashable]], labels: Sequence[Labels]) -> list[Group]:
    """Groups of the rows that share a key, also by way of other rows."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    numbers: dict[Hashable, int] = {}
    edges = [(row, len(keys) + numbers.setdefault(key, len(numbers))) for row, some in enumerate(keys) for key in some]
    size = len(keys) + len(numbers)
    ends = np.array(edges).T
    _, component = connected_components(coo_array((np.ones(len(edges)), ends), shape=(size, size)), directed=False)
    groups: dict[int, Group] = defaultdict(Group)
    for row, some in enumerate(labels):
        group = groups[int(component[row])]
        group.rows.append(row)
        group.labels.update(some or [""])
    return list(groups.values())


def split(groups: Sequence[Group], shares: Mapping[str, float], seed: int) -> dict[str, list[int]]:
    """The rows of each split, in their order; `shares` starts with train.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011): label by label, the rarest first, each group goes
    to the split that lacks most rows of the label. It preserves the label distribution for several labels a row, for
    groups of any size and for any shares, which scikit-learn's splitters do not combine. Every label occurs in train.
    """
    order = random.Random(seed).sample(range(len(groups)), len(groups))
    order.sort(key=lambda number: -len(groups[number].rows))  # large groups first, while there is room for them
    having: dict[str, list[int]] = defaultdict(list)
    for number in order:
        for label in groups[number].labels:
            having[label].append(number)
    totals: Counter[str] = Counter()
    for group in groups:
        totals.update(group.labels)
    lacking = {name: {label: share * total for label, total in totals.items()} for name, share in shares.items()}
    room = {name: share * sum(len(group.rows) for group in groups) for name, share in shares.items()}
    chosen: dict[int, str] = {}
    for label in sorted(having, key=lambda label: (len(having[label]), label)):
        for number in having[label]:
            if number in chosen:
                continue
            name = "train"
            if len(having[label]) >= RARE:
                name = max(shares, key=lambda name: (lacking[name][label], room[name]))
            chosen[number] = name
            room[name] -= len(groups[number].rows)
            for other, count in groups[number].labels.items():
                lacking[name][other] -= count
    for numbers in having.values():
        if all(chosen[number] != "train" for number in numbers):
            chosen[numbers[0]] = "train"
    rows: dict[str, list[int]] = {name: [] for name in shares}
    for number, name in chosen.items():
        rows[name] += groups[number].rows
    return {name: sorted(some) for name, some in rows.items()}


def split_in_order(lengths: Sequence[int], shares: Mapping[str, float]) -> dict[str, list[int]]:
    """Consecutive pieces of a text, so that no passage of it is in two splits; `lengths` are those of its pieces."""
    ends = np.cumsum(lengths) - np.array(lengths) / 2
    limits = np.cumsum(list(shares.values())) * sum(lengths)
    places = np.minimum(np.searchsorted(limits, ends), len(shares) - 1)
    return {name: np.flatnonzero(places == number).tolist() for number, name in enumerate(shares)}
