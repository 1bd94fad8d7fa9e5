"""Verdict: whether a model beats its baselines, by the main metric, in a sentence."""

from collections.abc import Callable
from typing import Any

REMEDY = "More training data, more epochs or another base model may help."
LOSES = "The baseline '{baseline}' is better: {metric} {theirs} against {ours}."
TIES = "The baseline '{baseline}' is as good: {metric} {theirs}."
CLOSE = (
    "Not distinguishable from the baseline '{baseline}': its {metric} of {theirs} lies in the 95 % interval of this "
    "model's {ours}, {low} to {high}."
)


def verdict(evaluation: dict[str, Any], translate: Callable[[str], str] = str) -> str | None:
    """What is to be said of the best baseline of an evaluation (its JSON), unless the model clearly beats it.

    "Clearly" is by more than the 95 % interval of the model's metric, where the evaluation has that.
    """
    main = evaluation["headline"]
    known = [one for one in evaluation["baseline"] if main in one["metrics"]]
    if not known:
        return None
    sign = -1 if evaluation["lower_is_better"] else 1
    best = max(known, key=lambda one: sign * one["metrics"][main])
    ours, theirs = evaluation["metrics"][main], best["metrics"][main]
    low, high = evaluation.get("interval") or (ours, ours)
    if sign * theirs > sign * ours:
        sentence = LOSES
    elif theirs == ours:
        sentence = TIES
    elif low <= theirs <= high:
        sentence = CLOSE
    else:
        return None
    values = {"theirs": theirs, "ours": ours, "low": low, "high": high}
    shown = {name: f"{value:z.4f}" for name, value in values.items()}
    told = translate(sentence).format(baseline=translate(best["name"]), metric=main, **shown)
    return f"{told} {translate(REMEDY)}"
