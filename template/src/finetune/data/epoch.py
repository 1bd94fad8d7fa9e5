"""The order of an epoch: random, but examples of similar length share a step."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW = 32
"""Batches that are sorted by length together: enough to save padding, few enough to keep the order random."""


class EpochBatches(Sequence[list[int]]):
    """The examples of every step of an epoch, each exactly once, similar lengths (in tokens) together.

    The result is a function of the arguments alone, so a resumed run needs only the number of the step. A batch is made
    when it is asked for, of the window that it belongs to.
    """

    def __init__(self, lengths: NDArray[Any], batch_size: int, seed: int, epoch: int) -> None:
        random = np.random.default_rng([seed, epoch])
        self._lengths, self._size = lengths, batch_size
        self._order = random.permutation(len(lengths))
        self._batches = np.arange(-(-len(lengths) // batch_size))
        random.shuffle(self._batches)

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, step: Any) -> Any:
        window, position = divmod(int(self._batches[step]), WINDOW)
        length = WINDOW * self._size
        rows = self._order[window * length : (window + 1) * length]
        rows = rows[np.argsort(self._lengths[rows], kind="stable")]
        return rows[position * self._size : (position + 1) * self._size].tolist()
