"""Train a finished run further: its model, with room for new labels, and what it stores against forgetting."""

from collections.abc import Sequence
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..config.config import Config
from ..config.continual import Distillation, Ewc, Replay
from ..config.flat import flat
from ..data.files import checksum, files_of
from ..dataset import Split, concatenate, encode_split, new_task, read_split
from ..errors import UserError
from ..files import is_valid, recover
from ..model.device import Precision, choose_device
from ..model.freezing import freeze_parts
from ..model.head import resize_head
from ..model.layers import unwrap_model
from ..model.load import set_attention
from ..model.methods import apply_method, can_be_merged, is_peft
from ..model.packed_attention import use_packed_attention
from ..model.precision import wanted_precision
from ..run.folder import RunFolder
from ..run.named_files import knows_earlier_run, names_network
from ..run.saved_model import Base, SavedModel, load_saved_model
from ..tasks.base import Task
from ..train.start import FreshStart
from .distillation import Teacher
from .ewc import EwcPenalty, estimate_fisher, read_fisher, sum_fisher, write_fisher
from .replay import ReplaySampler, Reservoir

FIXED: dict[str, Any] = {"task": True, "model": True, "method": True, "data": {"features"}}
FREE = (
    *("model.attention", "model.revision", "model.trust_remote_code"),
    *("task.dpo", "task.label_smoothing"),
)
"""Keys in FIXED, or beginnings of them, that may differ from those of the previous run."""


def starting_point(config: Config) -> FreshStart:
    """The previous run, or the first run of a sequence. Raises UserError as `PreviousRun.prepare` does."""
    return PreviousRun(config) if config.continue_from else FirstRun(config)


class FirstRun(FreshStart):
    """The first run of a sequence: it ends by storing a replay buffer or Fisher information, if configured."""

    def finish(self, run: RunFolder) -> None:
        if isinstance(self.config.continual, Replay | Ewc):
            stored_memory(run, self.config.continual, self.config.model.trust_remote_code)


class PreviousRun(FirstRun):
    """A finished run, whose best model is trained further."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.run = _previous_run(config)

    @cached_property
    def saved(self) -> SavedModel:
        """Its best model."""
        train = None if wanted_precision(self.config) == "auto" else self.config.train  # it is decided later
        return load_saved_model(self.run.model, train, trust_remote_code=self.config.model.trust_remote_code)

    def prepare(self) -> None:
        """Let the previous run store its replay buffer or Fisher information, if it has not; other ranks only read it.

        Raises UserError if `continue_from` is not the folder of a run, or is one of another task, model or method.
        """
        if isinstance(self.config.continual, Replay | Ewc):
            self._memory(self.config.continual)

    def make_task(self) -> Task[Any, Any]:
        task = new_task(self.config)
        task.load_state(deepcopy(self.saved.task.state()))  # a copy, because new labels are appended to its lists
        return task

    def fit_task(self, task: Task[Any, Any], examples: Sequence[Any]) -> None:
        """Extend its task by the new labels of `examples`."""
        task.extend(examples)

    def load_tokenizer(self, task: Task[Any, Any], examples: Sequence[Any]) -> Any:
        return self.saved.tokenizer

    def make_skeleton(self, task: Task[Any, Any], tokenizer: Any) -> Any:
        return self.saved.model

    def load_model(
        self, task: Task[Any, Any], tokenizer: Any, total_steps: int, dtype: Precision = "fp32", to_shard: bool = False
    ) -> tuple[Any, Base]:
        """Its model, with new rows in the head for new labels."""
        if to_shard:
            self.notes.append("sharding: each process reads all weights of the earlier run first")
        base, model = Base.read(self.run.model), self.saved.model
        if not is_peft(self.config.method):  # adapters were applied when the model was loaded
            model = apply_method(self.config.method, model, base.head)
        freeze_parts(self.config, model)
        set_attention(unwrap_model(model), self.config.model)
        self._choose_attention(model)
        resize_head(model, base.head, self.saved.task.model_options(), task.model_options())
        return model, base

    def add_replay(self, split: Split, task: Task[Any, Any]) -> tuple[Split, ReplaySampler | None]:
        wanted, train = self.config.continual, self.config.train
        if not isinstance(wanted, Replay):
            return split, None
        examples = Reservoir.read(self._memory(wanted), task).examples
        stored = encode_split(self.config, task, self.saved.tokenizer, examples)
        new, old = len(split), len(stored)
        return concatenate(split, stored), ReplaySampler.of(new, old, wanted.share, train.batch_size, train.seed)

    def make_penalty(self, model: Any) -> EwcPenalty | None:
        wanted = self.config.continual
        if not isinstance(wanted, Ewc):
            return None
        return EwcPenalty(model, read_fisher(self._memory(wanted), model), wanted.strength)

    def load_teacher(self, device: torch.device) -> Teacher | None:
        wanted = self.config.continual
        if not isinstance(wanted, Distillation):
            return None
        model = load_saved_model(self.run.model, trust_remote_code=self.config.model.trust_remote_code).model.to(device)
        if self.config.train.packing:  # it reads the same batches
            use_packed_attention(unwrap_model(model))
        return Teacher(model, wanted.weight, wanted.temperature)

    def _memory(self, wanted: Replay | Ewc) -> Path:
        return stored_memory(self.run, wanted, self.config.model.trust_remote_code)


def _previous_run(config: Config) -> RunFolder:
    run = RunFolder(Path(str(config.continue_from)))
    previous = run.config()
    way = "start from the folder that `finetune export` makes of the run, as model.name"
    if not can_be_merged(previous.method):  # nothing to export
        way = "start a run of its own without continue_from"
    before, now = (flat(part.model_dump(mode="json", include=FIXED)) for part in (previous, config))
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key) and not key.startswith(FREE):
            raise UserError(
                f"continue_from: {run.path} has {key} {before.get(key)} and this config {now.get(key)}: let it be "
                f"the same, or {way}"
            )
    if isinstance(config.continual, Replay) and previous.task.compares_texts != config.task.compares_texts:
        raise UserError(
            f"continue_from: {run.path} was trained {'with' if previous.task.compares_texts else 'without'} task.dpo, "
            f"so its examples have other columns and cannot be replayed: set continual.type to ewc or none"
        )
    if run.path.resolve() == config.run_folder.resolve():
        raise UserError(f"continue_from: {run.path} would be moved aside by this run: give it another run.name")
    return run


def stored_memory(run: RunFolder, wanted: Replay | Ewc, trust_remote_code: bool = False) -> Path:
    """The folder with the replay buffer or the Fisher information of a run, computed from its training data if missing.

    Raises UserError if the training data are no longer there.
    """
    folder = run.path / wanted.type
    recover(folder)
    if is_valid(folder):
        return folder
    config = run.config()
    recorded = run.environment().get("data", {})
    for source in config.data.train:
        if names_network(source) or not _is_unchanged(source, recorded):
            raise UserError(
                f"continue_from: {run.path} has stored nothing for {wanted.type}, and {source}, from which it "
                f"was trained, is gone or has changed: put the file back, or set continual.type to distillation"
            )
    with torch.random.fork_rng(devices=[]):  # the random numbers of a training must not depend on when this is computed
        saved = load_saved_model(run.model, trust_remote_code=trust_remote_code)
    examples = read_split(config, saved.task, config.data.train)
    earlier = None
    if config.continue_from:
        before = RunFolder(config.continue_from)
        if not knows_earlier_run(run, before):
            raise UserError(
                f"continue_from: {run.path} has stored nothing for {wanted.type}, and {before.path}, which it went on "
                f"from, is gone or has changed: put it back, or set continual.type to distillation"
            )
        earlier = stored_memory(before, wanted, trust_remote_code)
    if isinstance(wanted, Replay):
        reservoir = Reservoir.read(earlier, saved.task) if earlier else Reservoir([], 0)
        reservoir.fill(examples, wanted.budget, config.train.seed).write(folder, saved.task)
        return folder
    model, fisher = _fisher(config, run, saved, examples, wanted.examples)
    write_fisher(folder, sum_fisher(fisher, read_fisher(earlier, model)) if earlier else fisher)
    return folder


def _fisher(config: Config, run: RunFolder, saved: SavedModel, examples: list[Any], wanted: int) -> tuple[Any, Any]:
    """The model, and the Fisher information of its trainable weights."""
    model = saved.model.to(choose_device(config.train.device))
    if not is_peft(config.method):
        model = apply_method(config.method, model, Base.read(run.model).head)
    split = encode_split(config, saved.task, saved.tokenizer, examples)
    number = len(split)
    chosen = np.random.default_rng([config.train.seed, 2]).choice(number, min(wanted, number), replace=False)
    budget = config.train.micro_batch_tokens
    return model, estimate_fisher(model, saved.task, saved.tokenizer, split, chosen.tolist(), budget)


def _is_unchanged(source: str, recorded: dict[str, str]) -> bool:
    """Whether the files of a source have the recorded checksums."""
    try:
        return all(recorded.get(path.as_posix()) == checksum(path) for path in files_of([source]))
    except UserError:  # there are none any more
        return False
