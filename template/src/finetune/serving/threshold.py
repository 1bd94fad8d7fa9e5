"""`--threshold`: withhold answers that the model holds for too improbable, for a person to decide."""

from collections.abc import Sequence
from typing import Any

from ..errors import UserError
from ..tasks.base import Task
from ..tasks.multi_label_classification import MultiLabelClassificationTask
from ..tasks.ner_tags import chunks, read_tags
from ..tasks.settings import MultiLabelClassification, Settings, TextClassification, TokenClassification
from ..tasks.text_classification import TextClassificationTask
from ..tasks.token_classification import Prediction


def require_threshold(task: Settings) -> None:
    """Raises UserError for a task whose answers have no probability."""
    if not isinstance(task, TextClassification | MultiLabelClassification | TokenClassification):
        raise UserError(f"--threshold: the answers of {task.type} have no probability: leave it out")


def withhold(
    task: Task[Any, Any], examples: Sequence[Any], predictions: Sequence[Any], threshold: float
) -> list[dict[str, Any]]:
    """Records without the answers below the threshold.

    The label becomes null; of several labels, and of entities, those below it are left out.
    """
    if isinstance(task, TextClassificationTask):
        records = task.records(examples, predictions)
        return [record if record["probability"] >= threshold else {**record, "prediction": None} for record in records]
    if isinstance(task, MultiLabelClassificationTask):
        records = task.records(examples, predictions)
        return [
            {**record, "prediction": [n for n in record["prediction"] if record["probabilities"][n] >= threshold]}
            for record in records
        ]
    return task.records(examples, [_without_uncertain(prediction, threshold) for prediction in predictions])


def _without_uncertain(prediction: Prediction, threshold: float) -> Prediction:
    """An entity is as probable as the least probable of its tags."""
    tags = read_tags(prediction.tags, "prediction")
    for first, last, _ in chunks(tags):
        if min(prediction.probabilities[first : last + 1]) < threshold:
            tags[first : last + 1] = ["O"] * (last + 1 - first)
    return Prediction(tags, prediction.probabilities)
