"""Which task class runs which section of the config."""

from collections.abc import Callable
from typing import Any

from . import settings
from .base import Task
from .chat import ChatTask
from .multi_label_classification import MultiLabelClassificationTask
from .preference import PreferenceTask
from .ranking import RankingTask
from .regression import RegressionTask
from .retrieval import RetrievalTask
from .summarization import SummarizationTask
from .text_classification import TextClassificationTask
from .text_generation import TextGenerationTask
from .token_classification import TokenClassificationTask
from .translation import TranslationTask


def _chat(section: settings.Chat) -> ChatTask:
    return PreferenceTask(section, section.dpo) if section.dpo else ChatTask(section)


TASKS: dict[type[settings.Settings], Callable[[Any], Task[Any, Any]]] = {
    settings.Chat: _chat,
    settings.MultiLabelClassification: MultiLabelClassificationTask,
    settings.Ranking: RankingTask,
    settings.Regression: RegressionTask,
    settings.Retrieval: RetrievalTask,
    settings.Summarization: SummarizationTask,
    settings.TextClassification: TextClassificationTask,
    settings.TextGeneration: TextGenerationTask,
    settings.TokenClassification: TokenClassificationTask,
    settings.Translation: TranslationTask,
}
