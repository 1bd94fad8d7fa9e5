"""One file a task. `make_task` is the only place that knows them all."""

from typing import Any

from ..config import (
    AnyTask,
    MultiLabelClassification,
    Ranking,
    Regression,
    TextClassification,
    TokenClassification,
)
from .base import Task
from .multi_label_classification import MultiLabelClassificationTask
from .ranking import RankingTask
from .regression import RegressionTask
from .text_classification import TextClassificationTask
from .token_classification import TokenClassificationTask

__all__ = ["Task", "make_task"]


def make_task(config: AnyTask) -> Task[Any, Any]:
    """The task that a config asks for; it knows its labels only after `fit` or `load_state`."""
    match config:
        case TextClassification():
            return TextClassificationTask(config)
        case MultiLabelClassification():
            return MultiLabelClassificationTask(config)
        case Regression():
            return RegressionTask(config)
        case TokenClassification():
            return TokenClassificationTask(config)
        case Ranking():
            return RankingTask(config)
