"""The labels of each split: how often each occurs, and what the training or the score will suffer from."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..console import counted, share
from .findings import Entry, Finding, splits_of

HANDFUL = 5
"""Examples of a label below which nothing is learnt of it, and nothing measured."""
ONE_SIDED = 0.9
"""Share of one label from which on it is a good score always to name it."""
SHIFT = 0.1
"""Part of a split that would have to change its label for the balance of the training data ..."""
CHANCE = 1e-3
"""... where chance alone would seldom make such a difference."""
FEW_VALUES = 12
"""Different numbers up to which they are counted one by one, as grades are."""


def balance(entries: Sequence[Entry]) -> dict[str, Any]:
    """What the answers of a split are: counts of labels, the distribution of numbers, or lengths of written texts."""
    numbers = [entry.summary.number for entry in entries if entry.summary.number is not None]
    if numbers:
        found = dict(zip(("min", "q25", "median", "q75", "max"), quantiles(numbers), strict=True))
        grades = Counter(numbers)
        counts = {f"{grade:g}": grades[grade] for grade in sorted(grades)} if len(grades) <= FEW_VALUES else {}
        return {"numbers": {**found, "mean": float(np.mean(numbers)), "counts": counts}}
    if entries[0].summary.generates:
        words = [len(entry.summary.answer.split()) for entry in entries]
        return {"answer_words": dict(zip(("min", "q25", "median", "q75", "max"), quantiles(words), strict=True))}
    return {"labels": dict(_counts(entries).most_common())}


def quantiles(numbers: Sequence[float]) -> list[float]:
    """Smallest, quarter, half, three quarters, largest."""
    return [float(number) for number in np.quantile(numbers, (0, 0.25, 0.5, 0.75, 1))]


def balance_findings(entries: Sequence[Entry]) -> Iterator[Finding]:
    """Labels that are unknown to the training, rare, overwhelming, never measured, or of another balance elsewhere."""
    splits = splits_of(entries)
    train = _counts(splits["train"])
    if not train:
        return
    yield from _rare(train, splits["train"])
    yield from _one_sided(train, splits["train"])
    for split, some in splits.items():
        if split != "train":
            counts = _counts(some)
            yield from _unknown(train, counts, split, some)
            yield from _unmeasured(train, counts, split)
            yield from _shifted(train, counts, split)


def _rare(train: Counter[str], entries: Sequence[Entry]) -> Iterator[Finding]:
    for label in sorted(label for label, count in train.items() if count < HANDFUL):
        times = "once" if train[label] == 1 else f"{train[label]} times"
        places = [entry.place for entry in entries if label in entry.summary.labels]
        remedy = "add examples, or join it with another"
        yield Finding("rare-label", "warning", "train", f"'{label}' occurs only {times} in train", remedy, places)


def _one_sided(train: Counter[str], entries: Sequence[Entry]) -> Iterator[Finding]:
    if any(len(entry.summary.labels) != 1 for entry in entries):
        return  # with several labels a row, or none, to name the same one always is no strategy
    label, count = train.most_common(1)[0]
    if count > ONE_SIDED * len(entries):
        yield Finding(
            "one-sided",
            "note",
            "train",
            f"{share(count, len(entries))} of train are '{label}': a model that says nothing else has that accuracy",
            "look at macro F1 and at the rows of the rare labels",
        )


def _unknown(train: Counter[str], counts: Counter[str], split: str, entries: Sequence[Entry]) -> Iterator[Finding]:
    for label in sorted(counts.keys() - train.keys()):
        places = [entry.place for entry in entries if label in entry.summary.labels]
        found = counted(len(places), "row")
        message = f"'{label}' occurs in {found} of {split}, and never in train: the training will refuse it"
        yield Finding("unknown-label", "alarm", split, message, "correct it, or add examples of it to train", places)


def _unmeasured(train: Counter[str], counts: Counter[str], split: str) -> Iterator[Finding]:
    expected = sum(counts.values()) / train.total()
    missing = sorted(label for label in train.keys() - counts.keys() if train[label] * expected >= HANDFUL)
    if missing:
        names = ", ".join(f"'{label}'" for label in missing)
        message = f"{split} has no example of {names}, so its score says nothing of that"
        yield Finding("unmeasured-label", "warning", split, message, f"draw {split} from the same source as train")


def _shifted(train: Counter[str], counts: Counter[str], split: str) -> Iterator[Finding]:
    from scipy.stats import chi2_contingency

    labels = [label for label in sorted(train) if train[label] + counts[label] >= 2 * HANDFUL]
    table = np.array([[side[label] for label in labels] for side in (train, counts)], dtype=float)
    if len(labels) < 2 or not table.sum(1).all():
        return
    shares = table / table.sum(1, keepdims=True)
    moved = np.abs(shares[0] - shares[1])
    if moved.sum() / 2 > SHIFT and chi2_contingency(table).pvalue < CHANCE:
        most = int(moved.argmax())
        yield Finding(
            "other-balance",
            "note",
            split,
            f"the labels of {split} are balanced otherwise than in train: "
            f"'{labels[most]}' has {shares[1][most]:.0%} instead of {shares[0][most]:.0%}",
            "fine where it is meant; else draw both from the same source",
        )


def _counts(entries: Sequence[Entry]) -> Counter[str]:
    return Counter(label for entry in entries for label in entry.summary.labels)
