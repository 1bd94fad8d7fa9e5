"""Matrices as tables of the page, so that a browser finds a font for every name; `shares` colour their cells."""

from typing import Any

MOST_LABELS = 50
"""Labels up to which the whole matrix is shown."""
MOST_PAIRS = 50
"""Pairs of labels that are listed where there are more labels."""


def confusions(matrix: dict[str, Any]) -> dict[str, Any]:
    """`matrix` with `shares`, each count by the total of its row, or for many labels with `pairs` of two that differ.

    Shares of the row (row-normalised) keep rare labels visible. A pair has true label, predicted label, count and
    share, the most frequent pair first.
    """
    labels, counts = matrix["labels"], matrix["counts"]
    shares = [[count / max(1, sum(row)) for count in row] for row in counts]
    if len(labels) <= MOST_LABELS:
        return {**matrix, "shares": shares, "pairs": None}
    pairs = [
        (labels[row], labels[column], counts[row][column], shares[row][column])
        for row in range(len(labels))
        for column in range(len(labels))
        if row != column and counts[row][column]
    ]
    return {**matrix, "shares": shares, "pairs": sorted(pairs, key=lambda pair: -pair[2])[:MOST_PAIRS]}


def stage_matrix(content: dict[str, Any]) -> dict[str, Any]:
    """The scores of a training with stages, with `shares`: 1 for the best possible score, 0 for the worst."""
    known = [score for row in content["matrix"] for score in row if score is not None]
    low, high = min([0.0, *known]), max([1.0, *known])
    best, worst = (low, high) if content["lower_is_better"] else (high, low)
    shares = [
        [0.0 if score is None else (score - worst) / (best - worst) for score in row] for row in content["matrix"]
    ]
    return {**content, "shares": shares}
