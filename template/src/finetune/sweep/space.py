"""Draw settings from a search space. Each draw depends on the seed, its number and the settings before it only."""

import itertools
import math
import random
from typing import Any

from .settings import Range, Sweep

Setting = dict[str, Any]
"""A value for each key of the search space."""
TRIALS = 20
"""Trials of a search without a grid, if none are given."""


def size(sweep: Sweep) -> float:
    """The number of settings in the search space; infinite if a key has real numbers."""
    return math.prod(_count(values) for values in sweep.vary.values())


def wanted_trials(sweep: Sweep) -> int:
    """How many trials the sweep has."""
    most = sweep.trials or (math.inf if sweep.search == "grid" else TRIALS)
    return int(min(most, math.inf if sweep.search == "tpe" else size(sweep)))


def propose(sweep: Sweep, number: int, before: list[Setting], seed: int) -> Setting:
    """The setting of trial `number`, from 1: the next of the grid (the last key fastest), or one drawn at random.

    None is drawn twice.
    """
    if sweep.search == "grid":
        choices = [values for values in sweep.vary.values() if not isinstance(values, Range)]
        return dict(zip(sweep.vary, next(itertools.islice(itertools.product(*choices), number - 1, None)), strict=True))
    generator = random.Random(f"{seed}-{number}")
    while (drawn := {key: _draw(values, generator) for key, values in sweep.vary.items()}) in before:
        pass
    return drawn


def _count(values: tuple[Any, ...] | Range) -> float:
    if not isinstance(values, Range):
        return len(values)
    kind, (low, high) = values.given
    return high - low + 1 if kind == "int" else math.inf


def _draw(values: tuple[Any, ...] | Range, generator: random.Random) -> Any:
    if not isinstance(values, Range):
        return generator.choice(values)
    kind, (low, high) = values.given
    match kind:
        case "int":
            return generator.randint(int(low), int(high))
        case "log":
            return min(high, max(low, math.exp(generator.uniform(math.log(low), math.log(high)))))
        case _:
            return generator.uniform(low, high)
