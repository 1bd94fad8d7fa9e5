"""What a training starts from: a pretrained model, or (with the optional folder `continual`) an earlier run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from .. import optional
from ..config.config import Config
from ..data.batching import Batch
from ..dataset import Split, new_task
from ..model.cpu_attention import use_cpu_attention
from ..model.device import Precision, choose_device
from ..model.first_token import compute_first_token_only
from ..model.freezing import freeze_parts
from ..model.head import output_layer, scaled
from ..model.layers import head_modules
from ..model.load import load_model, load_tokenizer, make_skeleton
from ..model.methods import apply_method
from ..model.tabular_head import join_features
from ..model.tiny import is_tiny
from ..model.unread import to_meta
from ..run.folder import RunFolder
from ..run.saved_model import Base, standardization_of
from ..tasks.base import Task


class ReplaySampler(Protocol):
    """Stored examples, behind the new ones of the training split, of which each step takes some."""

    @property
    def new(self) -> int: ...
    @property
    def stored(self) -> int: ...
    @property
    def per_step(self) -> int: ...
    def stored_rows(self, step: int) -> list[int]: ...


class Teacher(Protocol):
    """A frozen model, from which the trained one is distilled."""

    def loss(self, task: Task[Any, Any], batch: Batch, logits: Tensor, precision: Precision) -> Tensor: ...


class Penalty(Protocol):
    """A term of the loss that depends on the weights alone."""

    def penalty(self) -> Tensor: ...


class FreshStart:
    """A pretrained model and a task that knows no labels yet."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.notes: list[str] = []
        """What the summary before the first step says about the start."""

    def prepare(self) -> None:
        """Write what the training reads; called on the main rank only, before the others start to read."""

    def make_task(self) -> Task[Any, Any]:
        """The task before it has seen the training examples."""
        return new_task(self.config)

    def fit_task(self, task: Task[Any, Any], examples: Sequence[Any]) -> None:
        """Let the task learn the labels of the training examples."""
        task.fit(examples)

    def load_tokenizer(self, task: Task[Any, Any], examples: Sequence[Any]) -> Any:
        """The tokenizer of the model; that of a tiny model is trained on the examples."""
        return load_tokenizer(self.config.model, task, examples)

    def add_replay(self, split: Split, task: Task[Any, Any]) -> tuple[Split, ReplaySampler | None]:
        """The training split with stored examples appended, and how many of them a step takes."""
        return split, None

    def make_skeleton(self, task: Task[Any, Any], tokenizer: Any) -> Any:
        """The model without its weights, of which a probe needs the shapes."""
        return make_skeleton(self.config.model, task, tokenizer, self.config.method)

    def load_model(
        self, task: Task[Any, Any], tokenizer: Any, total_steps: int, dtype: Precision = "fp32", to_shard: bool = False
    ) -> tuple[Any, Base]:
        """The model on the CPU, with the method applied, and what a saved model needs to know of its base model.

        `dtype`: what its frozen weights will be kept in; `to_shard`: those of the base model are on the meta device, if
        each rank can read its shard of them.
        """
        model, new_modules, head = load_model(self.config.model, task, tokenizer, self.config.method, dtype, to_shard)
        compute_first_token_only(model)
        self._choose_attention(model)
        if task.tabular:
            join_features(model, task.tabular.columns)
        if head:
            self.notes.append(f"head: {head.said}")
        base = Base.of(self.config, model, head_modules(model, new_modules) if task.settings.new_head else [])
        _, layers = output_layer(model, base.head)
        if head and head.taken and (folded := standardization_of(Path(self.config.model.name))):
            mean, deviation = task.standardization() or folded
            layers[-1].load_state_dict(scaled(layers[-1].state_dict(), 1 / deviation, -mean / deviation))
        if task.standardization() and all(layer.bias is None for layer in layers):
            self.notes.append("head: it has no bias, so in other programs best/ gives standardized numbers")
        model = apply_method(self.config.method, model, base.head, total_steps)
        freeze_parts(self.config, model)
        if not to_meta(model) and to_shard and not is_tiny(self.config.model.name):
            self.notes.append("sharding: each process reads all weights first, for they are converted on loading")
        return model, base

    def _choose_attention(self, model: Any) -> None:
        """Replace SDPA by what is faster on the device of the training."""
        if self.config.model.attention == "auto" and choose_device(self.config.train.device).type == "cpu":
            use_cpu_attention(model)

    def load_teacher(self, device: torch.device) -> Teacher | None:
        """The teacher of a knowledge distillation."""
        return None

    def make_penalty(self, model: Any) -> Penalty | None:
        """The penalty on changing important weights; `model` is on its device."""
        return None

    def finish(self, run: RunFolder) -> None:
        """Store what a later training may need; called on the main rank only."""


def starting_point(config: Config) -> FreshStart:
    """What the config starts from. Raises UserError if the earlier run is missing or does not fit."""
    if config.continue_from is None and config.continual.type == "none":
        return FreshStart(config)
    continual = optional.find("continual", "previous_run")
    assert continual, "load_config refuses the keys of a deleted folder"
    start: FreshStart = continual.starting_point(config)
    return start
