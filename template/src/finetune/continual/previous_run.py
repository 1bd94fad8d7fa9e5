"""Go on from a finished run: its model, with room for new labels, and what it keeps against forgetting."""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..config.config import Config
from ..config.continual import Distillation, Ewc, Replay
from ..dataset import Split, concatenate, encode_split, read_split
from ..errors import UserError
from ..files import is_valid, recover, sha256_of
from ..model.device import choose_device
from ..model.layers import unwrap_model
from ..model.methods import apply_method, is_peft
from ..model.packed_attention import use_packed_attention
from ..model.resize_head import resize_head
from ..run.environment import read_environment
from ..run.folder import RunFolder
from ..run.saved_model import Base, SavedModel, load_saved_model
from ..tasks import make_task
from ..tasks.base import Task
from ..train.resume import flat
from .distillation import Teacher
from .ewc import EwcPenalty, estimate_fisher, read_fisher, sum_fisher, write_fisher
from .replay import ReplaySampler, Reservoir

FIXED = ("task", "model", "method")
FREE = ("model.attention", "model.revision", "model.trust_remote_code")
"""Of the sections that must be those of the earlier run, what may differ all the same."""


@dataclass(frozen=True, slots=True)
class PreviousRun:
    """The run that this one goes on from."""

    config: Config
    """Of the run that goes on."""
    run: RunFolder
    finetuned: SavedModel

    @classmethod
    def of(cls, config: Config) -> "PreviousRun":
        """Raises UserError as `prepare` does."""
        run = _run_before(config)
        return cls(config, run, load_saved_model(run.best))

    def task(self, examples: list[Any]) -> Task[Any, Any]:
        """Its task, which has learnt what is new in `examples` as well."""
        task = make_task(self.config.task)
        # A copy, for what is new is appended to lists of the earlier task.
        task.load_state(deepcopy(self.finetuned.task.state()))
        task.extend(examples)
        return task

    def model(self, task: Task[Any, Any]) -> tuple[Any, Base]:
        """Its model, with new rows in the head for what is new to the task, ready to be trained."""
        base, model = Base.read(self.run.best), self.finetuned.model
        if not is_peft(self.config.method):  # the others were applied when the model was loaded
            model = apply_method(self.config.method, model, base.head)
        unwrap_model(model).set_attn_implementation(self.config.model.attention)
        resize_head(model, base.head, self.finetuned.task.model_options(), task.model_options())
        return model, base

    def mixed(self, split: Split, task: Task[Any, Any]) -> tuple[Split, ReplaySampler]:
        """The new examples, and behind them what the run keeps for replay if the config asks for it."""
        wanted, train = self.config.continual, self.config.train
        if not isinstance(wanted, Replay):
            return split, ReplaySampler(len(split.lengths))
        examples = Reservoir.read(stored_memory(self.run, wanted), task).examples
        stored = encode_split(self.config, task, self.finetuned.tokenizer, examples)
        new, old = len(split.lengths), len(stored.lengths)
        return concatenate(split, stored), ReplaySampler.of(new, old, wanted.share, train.batch_size, train.seed)

    def consolidation(self, model: Any) -> EwcPenalty | None:
        """The penalty of elastic weight consolidation if the config asks for it; `model` is on its device."""
        wanted = self.config.continual
        if not isinstance(wanted, Ewc):
            return None
        return EwcPenalty(model, read_fisher(stored_memory(self.run, wanted)), wanted.strength)

    def teacher(self, device: torch.device) -> Teacher | None:
        """Its model as it was, if the config asks for distillation."""
        wanted = self.config.continual
        if not isinstance(wanted, Distillation):
            return None
        model = load_saved_model(self.run.best).model.to(device)
        if self.config.train.packing:  # it reads the same batches
            use_packed_attention(unwrap_model(model))
        return Teacher(model, wanted.weight, wanted.temperature)


def prepare_previous_run(config: Config) -> None:
    """Let the run that `config` goes on from, if there is one, keep what is needed of it; other processes only read it.

    Raises UserError if `continue_from` is not the folder of a run, or is one of another task or model.
    """
    if config.continue_from and isinstance(config.continual, Replay | Ewc):
        stored_memory(_run_before(config), config.continual)


def _run_before(config: Config) -> RunFolder:
    run = RunFolder(Path(str(config.continue_from)))
    before, now = (flat(part.model_dump(mode="json", include={*FIXED})) for part in (run.config(), config))
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key) and key not in FREE:
            raise UserError(
                f"continue_from: {run.path} has {key} {before.get(key)} and this config {now.get(key)}: let it be "
                f"the same, or start from the folder that `finetune export` makes of the run, as model.name"
            )
    if run.path.resolve() == config.run_folder.resolve():
        raise UserError(f"continue_from: {run.path} would be moved aside by this run: give it another run.name")
    return run


def stored_memory(run: RunFolder, wanted: Replay | Ewc) -> Path:
    """The folder in which a finished run keeps what a later one needs; made from its training data if it is not there.

    Raises UserError where that cannot be done any more.
    """
    folder = run.path / wanted.type
    recover(folder)
    if is_valid(folder):
        return folder
    config = run.config()
    if read_environment(run)["data"].get(config.data.train.as_posix()) != _fingerprint(config.data.train):
        raise UserError(
            f"continue_from: {run.path} has kept nothing for {wanted.type}, and {config.data.train}, from which it "
            f"was trained, is gone or has changed: put the file back, or set continual.type to distillation"
        )
    with torch.random.fork_rng(devices=[]):  # what a training draws must not depend on when this was made
        finetuned = load_saved_model(run.best)
    examples = read_split(config, finetuned.task, config.data.train)
    earlier = stored_memory(RunFolder(config.continue_from), wanted) if config.continue_from else None
    if isinstance(wanted, Replay):
        reservoir = Reservoir.read(earlier, finetuned.task) if earlier else Reservoir([], 0)
        reservoir.fill(examples, wanted.budget, config.train.seed).write(folder, finetuned.task)
        return folder
    fisher = _fisher(config, run, finetuned, examples, wanted.examples)
    write_fisher(folder, sum_fisher(fisher, read_fisher(earlier)) if earlier else fisher)
    return folder


def _fisher(config: Config, run: RunFolder, finetuned: SavedModel, examples: list[Any], wanted: int) -> Any:
    model = finetuned.model.to(choose_device(config.train.device))
    if not is_peft(config.method):
        model = apply_method(config.method, model, Base.read(run.best).head)
    split = encode_split(config, finetuned.task, finetuned.tokenizer, examples)
    number = len(split.features_of)
    chosen = np.random.default_rng([config.train.seed, 2]).choice(number, min(wanted, number), replace=False)
    budget = config.train.micro_batch_tokens
    return estimate_fisher(model, finetuned.task, finetuned.tokenizer, split, chosen.tolist(), budget)


def _fingerprint(path: Path) -> str | None:
    return sha256_of(path) if path.is_file() else None
