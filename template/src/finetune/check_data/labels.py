"""Label distribution of each split, and its problems: rare and unknown labels, class imbalance, label shift."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..console import counted, share
from .findings import Entry, Finding, splits_of

HANDFUL = 5
"""Examples below which a label can be neither learned nor measured."""
ONE_SIDED = 0.9
"""Share of the majority label from which on always predicting it scores well."""
SHIFT = 0.1
"""Label shift: total variation distance to the label distribution of train, from which on it is reported ..."""
CHANCE = 1e-3
"""... if the p-value of a chi-squared test is below this."""
FEW_VALUES = 12
"""Distinct numbers up to which each is counted, as for ratings."""


def balance(entries: Sequence[Entry]) -> dict[str, Any]:
    """The distribution of the targets: counts of labels, quantiles of numbers, or word counts of texts."""
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
    """Minimum, first quartile, median, third quartile, maximum."""
    return [float(number) for number in np.quantile(numbers, (0, 0.25, 0.5, 0.75, 1))]


def balance_findings(entries: Sequence[Entry]) -> Iterator[Finding]:
    """Labels that are rare, dominant, missing in a split, unknown in train, or distributed differently in a split."""
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
        remedy = "add examples, or merge it with another label"
        yield Finding("rare-label", "warning", "train", f"'{label}' occurs only {times} in train", remedy, places)


def _one_sided(train: Counter[str], entries: Sequence[Entry]) -> Iterator[Finding]:
    if any(len(entry.summary.labels) != 1 for entry in entries):
        return  # with several labels a row, or none, there is no majority baseline
    label, count = train.most_common(1)[0]
    if count > ONE_SIDED * len(entries):
        yield Finding(
            "one-sided",
            "note",
            "train",
            f"{share(count, len(entries))} of train are '{label}': always predicting it has that accuracy",
            "look at macro F1 and at the metrics of the rare labels",
        )


def _unknown(train: Counter[str], counts: Counter[str], split: str, entries: Sequence[Entry]) -> Iterator[Finding]:
    for label in sorted(counts.keys() - train.keys()):
        places = [entry.place for entry in entries if label in entry.summary.labels]
        found = counted(len(places), "row")
        message = f"'{label}' occurs in {found} of {split}, but not in train: the training will refuse it"
        yield Finding("unknown-label", "alarm", split, message, "correct it, or add examples of it to train", places)


def _unmeasured(train: Counter[str], counts: Counter[str], split: str) -> Iterator[Finding]:
    expected = sum(counts.values()) / train.total()
    missing = sorted(label for label in train.keys() - counts.keys() if train[label] * expected >= HANDFUL)
    if missing:
        names = ", ".join(f"'{label}'" for label in missing)
        message = f"{split} has no example of {names}: its score does not measure them"
        yield Finding("unmeasured-label", "warning", split, message, f"sample {split} from the same source as train")


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
            f"the label distribution of {split} differs from that of train: "
            f"'{labels[most]}' is {shares[1][most]:.0%} instead of {shares[0][most]:.0%}",
            "if this is not intended, sample both from the same source",
        )


def _counts(entries: Sequence[Entry]) -> Counter[str]:
    return Counter(label for entry in entries for label in entry.summary.labels)
