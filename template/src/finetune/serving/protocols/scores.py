"""What several conventions need: labels with scores, and the settings of generation that a request may change."""

import math
from typing import Any

from ...tasks.settings import Generation
from ..limits import Problem
from ..model import Record

SCORED = ("text-classification", "multi-label-classification", "regression", "ranking")
"""Tasks whose answers are labels with scores, or numbers."""


def labels_of(record: Record) -> list[dict[str, Any]]:
    """All labels, the likeliest first."""
    if "probabilities" not in record:  # a number
        name = "value" if "prediction" in record else "score"
        return [{"label": name, "score": record.get("prediction", record.get("score"))}]
    ordered = sorted(record["probabilities"].items(), key=lambda pair: -pair[1])
    if isinstance(record["prediction"], list):
        return [{"label": name, "score": p, "chosen": name in record["prediction"]} for name, p in ordered]
    return [{"label": name, "score": p} for name, p in ordered]


def sigmoid(logit: float) -> float:
    """A score between 0 and 1, as rerankers answer."""
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))


def adjusted(
    settings: Generation, new_tokens: int | None, temperature: float | None, top_p: float | None
) -> Generation:
    """The run's settings of generation with those of a request.

    The run's max_new_tokens stays the limit, for which the model's context leaves room. Raises Problem for top_p where
    nothing is sampled.
    """
    changes: dict[str, Any] = {}
    if new_tokens is not None:
        changes["max_new_tokens"] = min(new_tokens, settings.max_new_tokens)
    if temperature is not None:
        changes["temperature"] = temperature
        changes["beams"] = 1 if temperature else settings.beams
    if top_p is not None:
        if top_p < 1 and temperature is None and not settings.temperature:
            raise unsupported("top_p", "the model takes the likeliest token: send a temperature, too")
        changes["top_p"] = top_p
    return settings.model_copy(update=changes)


def unsupported(name: str, remedy: str = "leave it out") -> Problem:
    """The problem of a parameter that would be ignored."""
    return Problem(422, "unsupported-parameter", f"{name}: is not supported here: {remedy}")


def in_body(example: Any) -> dict[str, Any]:
    """An example of a request, for the OpenAPI description."""
    return {"requestBody": {"content": {"application/json": {"example": example}}}}
