"""The spread over seeds: of runs that differ in train.seed only."""

import json
import math
import statistics
from collections.abc import Sequence
from typing import Any

from .settings import Settings

SEED = "train.seed"


def over_seeds(names: Sequence[str], of_runs: Sequence[Settings], values: Sequence[float]) -> list[dict[str, Any]]:
    """Groups of runs that differ in their seed only: mean and standard deviation of the metric, and the 95 % t-interval
    of the mean, which tells what another seed may give; the other intervals are those of given models.
    """
    groups: dict[str, list[int]] = {}
    for number, settings in enumerate(of_runs):
        others = {key: value for key, value in settings.items() if key != SEED}
        groups.setdefault(json.dumps(others, sort_keys=True), []).append(number)
    return [
        {"runs": [names[i] for i in group], **spread([values[i] for i in group])}
        for group in groups.values()
        if len({of_runs[i][SEED] for i in group}) == len(group) > 1
    ]


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation (n - 1), and the 95 % interval of the mean by Student's t distribution."""
    from scipy.stats import t

    mean, deviation, count = statistics.fmean(values), statistics.stdev(values), len(values)
    half = float(t.ppf(0.975, count - 1)) * deviation / math.sqrt(count)
    return {"mean": mean, "deviation": deviation, "interval": [mean - half, mean + half]}
