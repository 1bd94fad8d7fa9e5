"""A fuzz target: how its inputs are made, and what reads them."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ACCEPTED, REFUSED = "accepted", "refused"


@dataclass(frozen=True)
class Target:
    """The module of its functions imports the code under test inside them, so that listing the targets is fast."""

    name: str
    """Such as `check` or `data/csv`; the part before the slash stands for a group."""
    valid: Callable[[], bytes]
    """An input that must be accepted; each process reads it first, which imports what the others need."""
    make: Callable[[random.Random], bytes]
    """An input, a function of the random numbers alone: a seed and a number name a case for good."""
    run: Callable[[bytes, Path], str]
    """Feeds an input to the code under test, in an empty folder. Returns ACCEPTED or REFUSED.

    Raises where a promise is broken: whatever it raises, and a limit that it exceeds, is a failure.
    """

    def case(self, seed: int, number: int) -> bytes:
        return self.make(random.Random(f"{self.name} {seed} {number}"))
