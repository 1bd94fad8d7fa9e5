"""Table of ranks, for tasks that order documents."""

from .results import Table


def first_ranks(ranks: list[int]) -> Table:
    """How many queries have their first relevant document at which rank."""
    bins = [(1, 1), (2, 2), (3, 3), (4, 5), (6, 10), (11, max([11, *ranks]))]
    counts = [sum(low <= rank <= high for rank in ranks) for low, high in bins]
    rows: list[list[str | int | float]] = [
        [str(low) if low == high else f"{low} to {high}", count, count / len(ranks)]
        for (low, high), count in zip(bins, counts, strict=True)
        if ranks and low <= max(ranks)
    ]
    return Table("Rank of the first relevant document", ["rank", "queries", "share"], rows)
