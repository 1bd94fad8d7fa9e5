"""Exact search: the rows of a matrix with the highest products, in memory that does not grow with the matrix."""

from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController
from torch import Tensor

BLOCK = 512
"""Rows that are converted to fp32 at once: they stay in the cache of a core (`benchmarks/search.py`)."""
SCORES = 2**16
"""Rows whose scores are held at once."""
QUERIES = 128
"""Queries that are scored at once."""


def top_rows(matrix: Tensor, queries: NDArray[np.float32], top: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The `top` rows of the `matrix` (rows, width) with the highest products with each query (queries, width).

    Returns (queries, top): the products, descending, and the numbers of the rows; of equal products the lower row is
    first. Exact: all rows are scored in fp32, whatever the matrix is stored in. `top` is at most the number of rows.

    It computes in one thread. At this block size a second one gains nothing, and under load their barriers cost more
    than the products.
    """
    top = min(top, len(matrix))
    parts = [_best(matrix, queries[start : start + QUERIES], top) for start in range(0, len(queries), QUERIES)]
    if not parts:
        return np.zeros((0, top), np.float32), np.zeros((0, top), np.int64)
    scores, rows = zip(*parts, strict=True)
    return np.concatenate(scores), np.concatenate(rows)


def _best(matrix: Tensor, queries: NDArray[np.float32], top: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    best = [(np.zeros(0, np.float32), np.zeros(0, np.int64)) for _ in queries]
    columns = torch.from_numpy(queries).T.contiguous()
    block = torch.empty(BLOCK, matrix.shape[1])
    scores = torch.empty(min(SCORES, len(matrix)), len(queries))
    with _threads().limit(limits=1, user_api="openmp"):
        for start in range(0, len(matrix), SCORES):
            some = matrix[start : start + SCORES]
            for at in range(0, len(some), BLOCK):
                stored = some[at : at + BLOCK]
                converted = block[: len(stored)].copy_(stored)
                torch.mm(converted, columns, out=scores[at : at + len(stored)])
            by_query = scores[: len(some)].T.contiguous().numpy()
            best = [_merged(*known, row, start, top) for known, row in zip(best, by_query, strict=True)]
    return np.stack([found for found, _ in best]), np.stack([rows for _, rows in best])


def _merged(
    best: NDArray[np.float32], rows: NDArray[np.int64], scores: NDArray[np.float32], start: int, top: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The best so far, with the scores of the rows from `start` on; those are higher rows, behind equal scores."""
    found = np.flatnonzero(scores > best[-1]) if len(best) == top else np.arange(len(scores))
    if len(found) > top:
        values = scores[found]
        found = found[values >= np.partition(values, len(values) - top)[len(values) - top]]
    both = np.concatenate([best, scores[found]])
    numbers = np.concatenate([rows, found + start])
    order = np.lexsort((numbers, -both))[:top]
    return both[order], numbers[order]


@cache
def _threads() -> Any:
    return ThreadpoolController()
