"""Search in the corpus of a split: the nearest documents of each query, and the ranks of those that answer it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

TOP = 10
"""Documents of a query that are kept, and the rank down to which metrics look."""
BLOCK = 2**24
"""Scores that are held at once."""

Score = Callable[[slice], NDArray[np.floating]]
"""(queries of the slice, documents): how well each document answers each query."""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What was found for a query, the best first."""

    documents: list[str] = field(default_factory=list)
    """At most `TOP`."""
    scores: list[float] = field(default_factory=list)
    ranks: list[int] = field(default_factory=list)
    """Of all documents of the corpus that answer the query, ascending; empty where they are not known."""
    answer_score: float = 0.0
    """The highest score of a document that answers the query."""
    vector: NDArray[np.floating] | None = None
    """(width,): that of the query, where a model has given one."""


def nearest(score: Score, corpus: Sequence[str], answers: Sequence[Sequence[int]]) -> list[Retrieved]:
    """What is found for each query; `answers`: the numbers of the documents that answer it.

    Documents with equal scores get the rank of the last of them, so that a score which tells nothing apart is worth
    nothing.
    """
    found: list[Retrieved] = []
    size, top = max(1, BLOCK // max(1, len(corpus))), min(TOP, len(corpus))
    for start in range(0, len(answers) if len(corpus) else 0, size):
        scores = score(slice(start, start + size))
        chosen = np.argpartition(-scores, top - 1, axis=1)[:, :top]
        for row, columns, right in zip(scores, chosen, answers[start : start + size], strict=True):
            best = columns[np.lexsort((columns, -row[columns]))]
            ranks = sorted(int((row >= row[document]).sum()) for document in right)
            highest = float(row[list(right)].max()) if right else 0.0
            found.append(Retrieved([corpus[document] for document in best], row[best].tolist(), ranks, highest))
    return found or [Retrieved() for _ in answers]


def metrics(ranks: Sequence[int]) -> dict[str, float]:
    """Of one query, by the ranks of the documents that answer it: NDCG, reciprocal rank and recall."""
    return {
        "ndcg@10": ndcg(ranks),
        "mrr@10": 1 / ranks[0] if ranks[0] <= TOP else 0.0,
        **{f"recall@{k}": sum(rank <= k for rank in ranks) / len(ranks) for k in (1, 5, TOP)},
    }


def ndcg(ranks: Sequence[int]) -> float:
    """NDCG@10 (Järvelin and Kekäläinen 2002) of a query by the ranks of the documents that answer it."""
    gain = sum(1 / np.log2(rank + 1) for rank in ranks if rank <= TOP)
    return float(gain / sum(1 / np.log2(rank + 1) for rank in range(1, min(TOP, len(ranks)) + 1)))
