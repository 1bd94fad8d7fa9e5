"""What was measured of an arm."""

import statistics
import sys
from dataclasses import dataclass, field

from .workloads import PRODUCTS

TOLERANCE = 0.1
"""Largest difference of the validation losses after a pass, as a share: the orders of the examples differ."""


@dataclass(slots=True)
class Figures:
    """A value a round; seconds are those that count on the device (`Timing.seconds`)."""

    training: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    """Seconds of training by the clock."""
    evaluation: list[float] = field(default_factory=list)
    prediction: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    """On the validation data, after a pass."""
    metrics: list[float] = field(default_factory=list)
    before: float = 0.0
    """Loss on the validation data before any training."""
    peak: float = 0.0
    """MB of memory of a process that trains with this arm only."""


def require_alike(figures: dict[str, Figures], learns: bool = True) -> None:
    """All arms must begin at the same loss and learn the same; exits if they do not. `learns`: check the latter."""
    compared = {kind: found for kind, found in figures.items() if kind != PRODUCTS}
    before = {kind: found.before for kind, found in compared.items()}
    after = {kind: statistics.median(found.losses) for kind, found in compared.items()}
    for losses, tolerance in ((before, 0.015), *(((after, TOLERANCE),) if learns else ())):
        if max(losses.values()) > (1 + tolerance) * min(losses.values()):
            sys.exit(f"the arms do not learn alike: validation losses {losses}")
    if learns and any(after[kind] >= before[kind] for kind in after):
        sys.exit(f"an arm does not learn: validation losses {before}, then {after}")
