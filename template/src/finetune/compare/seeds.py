"""The spread over seeds: of runs that differ in train.seed only."""

import json
import math
import statistics
from collections.abc import Sequence
from typing import Any

from ..config.config import Config
from ..run.folder import RunFolder
from .settings import settings_of

SEED = "train.seed"


def over_seeds(
    names: Sequence[str], runs: Sequence[RunFolder], configs: Sequence[Config], values: Sequence[float]
) -> list[dict[str, Any]]:
    """Groups of runs that differ in their seed only: mean and standard deviation of the metric, and the 95 % t-interval
    of the mean, which tells what another seed may give; the other intervals are those of given models.
    """
    groups: dict[str, list[int]] = {}
    for number, (run, config) in enumerate(zip(runs, configs, strict=True)):
        settings = {key: value for key, value in settings_of(run, config).items() if key != SEED}
        groups.setdefault(json.dumps(settings, sort_keys=True), []).append(number)
    return [
        {"runs": [names[i] for i in group], **spread([values[i] for i in group])}
        for group in groups.values()
        if len({configs[i].train.seed for i in group}) == len(group) > 1
    ]


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation (n - 1), and the 95 % interval of the mean by Student's t distribution."""
    from scipy.stats import t

    mean, deviation, count = statistics.fmean(values), statistics.stdev(values), len(values)
    half = float(t.ppf(0.975, count - 1)) * deviation / math.sqrt(count)
    return {"mean": mean, "deviation": deviation, "interval": [mean - half, mean + half]}
