"""Verdict: whether a model beats its baselines, by the main metric, in a sentence."""

from collections.abc import Callable
from typing import Any

LOSES = (
    "The baseline '{baseline}' is better: {metric} {theirs} against {ours}. More training data, more epochs or another "
    "base model may help."
)
TIES = (
    "The baseline '{baseline}' is as good: {metric} {theirs}. More training data, more epochs or another base model "
    "may help."
)


def verdict(evaluation: dict[str, Any], translate: Callable[[str], str] = str) -> str | None:
    """What is to be said of the best baseline of an evaluation (its JSON), unless the model beats it."""
    main, lower_is_better = evaluation["headline"], evaluation["lower_is_better"]
    known = [one for one in evaluation["baseline"] if main in one["metrics"]]
    if not known:
        return None
    sign = -1 if lower_is_better else 1
    best = max(known, key=lambda one: sign * one["metrics"][main])
    ours, theirs = evaluation["metrics"][main], best["metrics"][main]
    if sign * ours > sign * theirs:
        return None
    sentence = TIES if ours == theirs else LOSES
    name = translate(best["name"])
    return translate(sentence).format(baseline=name, metric=main, theirs=f"{theirs:z.4f}", ours=f"{ours:z.4f}")
