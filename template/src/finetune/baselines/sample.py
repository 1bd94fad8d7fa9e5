"""A uniform sample of a stream, within a budget of examples and characters."""

import heapq
import random
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def sample(items: Iterable[T], size: Callable[[T], int], count: int, total: int, seed: int = 0) -> tuple[list[T], int]:
    """Up to `count` items of at most `total` size, in the order of the stream, and how many items there were.

    The items are shuffled by random keys, and the longest beginning within the budget is kept (a bottom-k sample):
    each is as likely as any other, and no more than the budget is in memory.
    """
    kept: list[tuple[float, int, T, int]] = []
    seen = held = 0
    keys = random.Random(seed)
    for item in items:
        one = size(item)
        heapq.heappush(kept, (-keys.random(), seen, item, one))
        held += one
        seen += 1
        while len(kept) > count or held > total:
            held -= heapq.heappop(kept)[-1]
    return [item for _, _, item, _ in sorted(kept, key=lambda entry: entry[1])], seen
