"""The model of a server: rows → features → what the task decodes → records, by the same functions as `predict`."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from .. import optional
from ..config.config import Config
from ..data.features import Encoded, Feature
from ..data.rows import Row
from ..errors import UserError
from ..generate import Watch, generate
from ..inference import infer
from ..model.device import DTYPES, Precision, choose_device
from ..model.precision import inference_precision
from ..run.folder import RunFolder
from ..run.saved_model import load_saved_model, no_model_yet
from ..tasks.base import Task
from ..tasks.probabilities import require_probabilities, withheld
from ..tasks.settings import Generation
from ..tasks.texts import text_of
from .engine import Capacity
from .examples import rows_of
from .onnx import load_onnx

Record = dict[str, Any]
ENOUGH = 256
"""Tokens that keep a thread of a CPU busy; with more at a time, what layers hand on does not stay in its cache."""
FREE_ON_CPU, FREE_ON_GPU = 32, 1024
"""Tokens of padding that take less time than another forward pass, which keeps a GPU less busy than a CPU."""


@dataclass(frozen=True, slots=True)
class Source:
    """Which model to serve, and how."""

    run: RunFolder
    config: Config
    """That of the run, with the device and the precision of the server."""
    onnx: Path | None = None
    """Folder of an ONNX export, which then computes the logits."""
    min_confidence: float | None = None
    """Answers with a lower probability are withheld."""
    trust_remote_code: bool = False

    def check(self) -> None:
        """Raises UserError for options that do not fit the task or the machine; the model is not loaded yet."""
        choose_device(self.config.train.device)
        if self.min_confidence is not None:
            require_probabilities(self.config.task)
        if self.onnx and hasattr(self.config.task, "generation"):
            raise UserError(
                f"--onnx: a model of {self.config.task.type} generates token after token, which the server does "
                f"with torch only: leave out --onnx"
            )
        if not self.run.has_model:
            raise no_model_yet(self.run.best)


class ServedModel:
    """A loaded model. One thread encodes, another one computes: each has a tokenizer of its own."""

    def __init__(self, source: Source, budget: int) -> None:
        """`budget`: tokens of a forward pass. Raises UserError where the model cannot be loaded."""
        saved = load_saved_model(source.run.model, source.config.train, trust_remote_code=source.trust_remote_code)
        self.task: Task[Any, Any] = saved.task
        self.tokenizer, self.max_length = saved.tokenizer, saved.max_length
        self._padding_tokenizer = deepcopy(saved.tokenizer)
        self._budget, self._least = budget, source.min_confidence
        self._gradient_budget = min(budget, source.config.train.micro_batch_tokens)
        if source.onnx:
            self._model: Any = load_onnx(source.onnx, saved)
            self._precision: Precision = "fp32"
        else:
            self._model = saved.model.to(choose_device(source.config.train.device)).eval()
            self._precision = inference_precision(source.config.train.precision, saved.precision, self._model.device)

    @cached_property
    def explainers(self) -> tuple[Any, Any] | None:
        """For the thread that encodes, and the one that computes; None if the project has no `explain/`."""
        module = optional.find("explain", "explain")
        if module is None:
            return None
        tokenizers = self.tokenizer, self._padding_tokenizer
        budget, precision = self._gradient_budget, self._precision
        encoding, computing = (
            module.Explainer(self.task, self._model, tokenizer, self.max_length, budget, precision)
            for tokenizer in tokenizers
        )
        return encoding, computing

    @property
    def capacity(self) -> Capacity:
        """Of the device, within the budget."""
        if self._model.device.type == "cpu":
            return Capacity(self._budget, ENOUGH * torch.get_num_threads(), FREE_ON_CPU)
        return Capacity(self._budget, self._budget, FREE_ON_GPU)

    @property
    def description(self) -> dict[str, Any]:
        """Architecture, number format and device."""
        return {
            "architecture": self._model.config.model_type,
            "dtype": str(DTYPES[self._precision]).removeprefix("torch."),
            "device": str(self._model.device),
        }

    def warm_up(self) -> None:
        """Compute an example, so that the first request does not pay for what happens once."""
        row = rows_of(self.task.settings)[0]
        if self.task.trained_columns:
            row = {**row, **dict.fromkeys(self.task.trained_columns, "text")}
        _, encoded = self.encode([Row("warm-up", row, row)])
        settings = self.task.generation and self.task.generation.model_copy(update={"max_new_tokens": 1})
        self.compute(encoded.features, settings, lambda row, tokens: False)

    @property
    def streams(self) -> bool:
        """Whether a text is known token by token: not with beam search, nor where decoding changes earlier spaces."""
        generation = self.task.generation
        return generation is not None and not getattr(self.tokenizer, "clean_up_tokenization_spaces", False)

    def encode(self, rows: Sequence[Row]) -> tuple[list[Any], Encoded]:
        """The examples of rows, and their features. Raises UserError for a row that the task cannot read."""
        examples = self.task.parse(rows, labelled=False)
        encoded = self.task.encode(examples, self.tokenizer, self.max_length)
        cut_prompts = sum(0 < len(feature.prompt) < feature.length for feature in encoded.features)
        encoded.truncated = max(encoded.truncated, cut_prompts)
        return examples, encoded

    def encode_texts(self, rows: Sequence[Row], roles: Sequence[str | None]) -> Encoded:
        """The feature of the column `text` of each row, each in its role, for a bi-encoder.

        Raises UserError for a row without a text.
        """
        task: Any = self.task
        texts, features, truncated = [text_of(row, "text") for row in rows], dict[int, Feature](), 0
        for role in dict.fromkeys(roles):
            numbers = [number for number, one in enumerate(roles) if one == role]
            encoded = task.encode_texts([texts[number] for number in numbers], role, self.tokenizer, self.max_length)
            features |= dict(zip(numbers, encoded.features, strict=True))
            truncated += encoded.truncated
        return Encoded([replace(features[number], example=number) for number in range(len(rows))], truncated)

    def compute(
        self, features: Sequence[Feature], generation: Generation | None, watch: Watch, seed: int = 0
    ) -> list[Any]:
        """What the task decodes from each feature; with `generation`, the text generated after its prompt."""
        model, tokenizer, precision = self._model, self._padding_tokenizer, self._precision
        if generation is None:
            result = infer(
                model, self.task, tokenizer, features, "prediction", budget=self._budget, precision=precision
            )
            return result.decoded
        prompts = [feature.prompt for feature in features]
        stops = self.task.stop_tokens
        texts = generate(
            model,
            tokenizer,
            prompts,
            generation,
            stops,
            budget=self._budget,
            precision=precision,
            seed=seed,
            watch=watch,
        )
        return [(None, text) for text in texts]

    def records(
        self, examples: list[Any], encoded: Encoded, decoded: Sequence[Any], least: float | None
    ) -> tuple[list[Record], int]:
        """A record for each row, as `finetune predict` writes it, and how many answers are withheld.

        `least`: the least probability of an answer, in place of that of the server.
        """
        predictions = self.task.predictions(examples, encoded.features, decoded)
        kept, count = withheld(self.task, predictions, self._least if least is None else least)
        return self.task.records(examples, kept), count
