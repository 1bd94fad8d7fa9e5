"""What each example of an evaluation contributes to its main metric, evaluation-<split>.safetensors."""

from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ..errors import UserError
from ..tasks.intervals import Array
from .folder import RunFolder

NAME = "contributions"
MOST_COLUMNS = 16
"""Sums of which a main metric is a function: BLEU has 10."""
MOST_BYTES = 2**31
HEADER = 2**16
"""Bytes of the file that are not numbers, at most."""


def write_contributions(run: RunFolder, split: str, contributions: Array) -> None:
    """Write contributions, (units, k); `units` are the examples of the evaluation."""
    run.write(run.contributions_name(split), save({NAME: np.ascontiguousarray(contributions, dtype=np.float64)}))


def read_contributions(run: RunFolder, evaluation: dict[str, Any]) -> Array:
    """The contributions that belong to an evaluation, (examples, k).

    Raises UserError where there are none, as in runs of earlier versions, or they are not those of its examples.
    """
    name, examples = run.contributions_name(evaluation["split"]), evaluation["examples"]
    try:
        content = run.read_bytes(name, min(MOST_BYTES, HEADER + 8 * MOST_COLUMNS * examples))
        contributions = load(content)[NAME]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise _wrong(run, name, getattr(error, "strerror", None) or "is damaged") from error
    if contributions.dtype != np.float64 or contributions.ndim != 2:
        raise _wrong(run, name, "holds no table of 64-bit numbers")
    if len(contributions) != examples or not np.isfinite(contributions).all():
        raise _wrong(run, name, f"is not that of {examples:,} examples")
    return contributions


def _wrong(run: RunFolder, name: str, what: str) -> UserError:
    return UserError(f"{run.path / name}: {what}: remove it and evaluate again")
