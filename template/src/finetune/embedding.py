"""Embeddings: the vectors that a bi-encoder (task `retrieval`) gives to queries and documents."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .data.features import Feature
from .errors import UserError
from .inference import infer
from .model.device import Precision
from .run.saved_model import SavedModel
from .tasks.retrieval import RetrievalTask

Role = Literal["query", "document"]


def embed(
    saved: SavedModel, texts: Sequence[str], role: Role, *, precision: Precision, budget: int
) -> NDArray[np.float32]:
    """(texts, width): the vectors of some texts, of Euclidean norm 1.

    The prefix of the role is added, and texts are truncated to the model's `max_length`. `budget`: padded tokens of a
    forward pass. Raises UserError if the model is not one of a retrieval run.
    """
    task = retrieval_task(saved)
    encoded = task.encode_texts(texts, role, saved.tokenizer, saved.max_length)
    return vectors_of(saved, encoded.features, precision=precision, budget=budget)


def vectors_of(
    saved: SavedModel, features: Sequence[Feature], *, precision: Precision, budget: int
) -> NDArray[np.float32]:
    """(features, width): the vectors of encoded texts."""
    task: Any = saved.task
    if not features:
        return np.zeros((0, saved.model.config.hidden_size), np.float32)
    result = infer(saved.model, task, saved.tokenizer, features, "prediction", budget=budget, precision=precision)
    return np.stack(result.decoded).astype(np.float32)


def retrieval_task(saved: SavedModel) -> RetrievalTask:
    """The task of a bi-encoder. Raises UserError if the model has another one."""
    if not isinstance(saved.task, RetrievalTask):
        raise UserError(
            f"the run is one of {saved.task.settings.type}, which has no vectors of texts: name a run of retrieval"
        )
    return saved.task
