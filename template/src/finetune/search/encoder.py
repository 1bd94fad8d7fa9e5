"""The bi-encoder of a run: vectors of texts, and what identifies them."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..embedding import Role, embed
from ..errors import UserError
from ..files import MANIFEST, sha256_of
from ..model.device import choose_device
from ..model.precision import inference_precision
from ..run.folder import RunFolder
from ..run.saved_model import SavedModel, load_saved_model
from ..tasks.settings import Ranking, Retrieval, Settings


class Encoder:
    """The best model of a run of retrieval; it is loaded when the first text is embedded."""

    def __init__(self, run: RunFolder, verb: str = "search", *, trust_remote_code: bool = False) -> None:
        """Raises UserError for a run of another task, and for one without a model."""
        self.run, self.config = run, run.config()
        require_task(run, self.config.task, Retrieval, f"{verb} needs a bi-encoder, a run of retrieval")
        self._folder, self._trust = run.model, trust_remote_code
        if not (self._folder / MANIFEST).is_file():
            self._saved  # noqa: B018 - it says what is missing

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the checksums of the model's files: weights, tokenizer, pooling, prefixes, length of the texts."""
        return sha256_of(self._folder / MANIFEST)

    @cached_property
    def _saved(self) -> SavedModel:
        saved = load_saved_model(self._folder, self.config.train, trust_remote_code=self._trust)
        saved.model.to(choose_device(self.config.train.device))
        return saved

    def embed(self, texts: Sequence[str], role: Role) -> NDArray[np.float32]:
        """(texts, width): vectors of norm 1. Raises UserError where they are no numbers."""
        saved, train = self._saved, self.config.train
        precision = inference_precision(train.precision, saved.precision, saved.model.device)
        vectors = embed(saved, texts, role, precision=precision, budget=train.micro_batch_tokens)
        if not np.isfinite(vectors).all():
            raise UserError(f"{self._folder}: gives vectors that are not finite: train the run again")
        return vectors


def require_task(run: RunFolder, task: Settings, wanted: type[Retrieval | Ranking], why: str) -> None:
    """Raise UserError unless the task of a run is the one that is needed."""
    if not isinstance(task, wanted):
        name = wanted.__name__.lower()
        raise UserError(
            f"{run.path}: is a run of {task.type}, and {why}: name another run, or train one with "
            f"task: {{type: {name}}}"
        )
