"""What a prediction counts for: its labels, or its number."""

from collections.abc import Sequence
from typing import Any

from ..errors import UserError
from ..tasks.base import Task
from ..tasks.ner_tags import chunks, read_tags
from .windows import MEAN

UNSURE = "unsure"
"""What a prediction counts for whose probability is below --min-confidence."""

Record = dict[str, Any]
Found = list[tuple[str, float]]
"""Labels with their probabilities."""


def _label(record: Record) -> Found:
    return [(record["prediction"], record["probability"])]


def _labels(record: Record) -> Found:
    return [(label, record["probabilities"][label]) for label in record["prediction"]]


def _entity_types(record: Record) -> Found:
    """Each type of a text once, as probable as its most probable entity, whose least probable word counts."""
    prediction = record["prediction"]
    if "probability" in record:  # a tag for each word
        tags, shares = read_tags(prediction, "prediction"), record["probability"]
        found = [(name, min(shares[first : last + 1])) for first, last, name in chunks(tags)]
    else:
        found = [(span["label"], span["probability"]) for span in prediction]
    return sorted(dict(sorted(found, key=lambda one: one[1])).items())


KINDS = {
    "text-classification": _label,
    "multi-label-classification": _labels,
    "token-classification": _entity_types,
}


def require_monitored(kind: str) -> None:
    """Raises UserError for a task whose predictions have no share and no mean."""
    if kind not in (*KINDS, "regression"):
        raise UserError(
            f"monitor: a share of each prediction makes no sense for {kind}: it is for "
            f"{', '.join([*KINDS, 'regression'])}"
        )


class Outcomes:
    """Records of a task → what they count for."""

    def __init__(self, task: Task[Any, Any], min_confidence: float | None) -> None:
        """Raises UserError for a task that is not monitored, or has no probabilities to compare with."""
        kind = task.settings.type
        require_monitored(kind)
        self._found = KINDS.get(kind)
        self._min = min_confidence
        if min_confidence is not None and self._found is None:
            raise UserError("--min-confidence: a regression predicts numbers without a probability: leave it out")
        labels: Sequence[str] = [MEAN] if self._found is None else getattr(task, "labels", [])
        if kind == "token-classification":
            labels = [label[2:] for label in labels if label.startswith("B-")]
        if min_confidence is not None:
            if UNSURE in labels:
                raise UserError(f"--min-confidence: the model has a label '{UNSURE}' of its own: leave it out")
            labels = [*labels, UNSURE]
        self.labels = list(labels)

    def of(self, record: Record) -> tuple[tuple[str, ...], float]:
        """The labels that a record counts for, and its number."""
        if self._found is None:
            return (MEAN,), float(record["prediction"])
        found = self._found(record)
        sure = tuple(label for label, probability in found if self._min is None or probability >= self._min)
        return sure or (UNSURE,) * bool(found), 0.0
