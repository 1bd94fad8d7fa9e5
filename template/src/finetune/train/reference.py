"""The reference of a preference tuning (DPO): log-probabilities of the model before the first step, stored in the run.

No second model is in memory, and a resume reads them, so that they never come from trained weights.
"""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from torch import nn
from torch.distributed.fsdp import FSDPModule

from ..config.config import Config
from ..console import counted, progress
from ..data.features import Feature
from ..dataset import encode_split, read_split
from ..errors import UserError
from ..files import is_valid, publish, recover
from ..inference import infer
from ..run.folder import RunFolder, checkpoints_in
from ..tasks.preference import PreferenceTask
from ..tasks.reference import Reference, key_of
from .build import Setup

FOLDER = "reference"
PART = 4096
"""Features that go through the model between two movements of the progress bar; an even number keeps pairs together."""


def prepare_reference(config: Config, run: RunFolder, setup: Setup, console: Console) -> None:
    """Give a task that compares with a reference its log-probabilities: those of the run, or of the model as it is.

    Called on all ranks before the first step, and before a checkpoint is restored. Raises UserError where a run with
    checkpoints has lost them.
    """
    if isinstance(setup.task, PreferenceTask):
        _without_dropout(setup)
        _gather_once(setup)
        setup.task.reference = _stored(run, setup) or _computed(config, run, setup, console)


def _without_dropout(setup: Setup) -> None:
    """As TRL does: the reference is computed without, and the sum over a reply would add up the noise of its tokens."""
    layers = [module for module in setup.model.modules() if isinstance(module, nn.Dropout) and module.p > 0]
    for layer in layers:
        layer.p = 0.0
    if layers:
        setup.start.notes.append("dropout: none, because the reference is computed without")


def _gather_once(setup: Setup) -> None:
    """FSDP2 keeps the tensors into which it first gathers: those of a pass in inference mode could not be trained."""
    for module in setup.model.modules():
        if isinstance(module, FSDPModule):
            module.unshard()
            module.reshard()


def _stored(run: RunFolder, setup: Setup) -> Reference | None:
    def is_there() -> bool:
        folder = run.at(FOLDER)
        recover(folder)
        if not is_valid(folder) and checkpoints_in(run.checkpoints):
            raise UserError(
                f"{folder}: the reference log-probabilities of the run are missing or damaged: put back an intact copy "
                f"of the folder, or start without --resume"
            )
        return is_valid(folder)

    found = setup.world.on_main(is_there)
    with setup.world.raise_together():
        return Reference.read(run.path / FOLDER) if found else None


def _computed(config: Config, run: RunFolder, setup: Setup, console: Console) -> Reference:
    """Of all pairs of train, validation and test."""
    splits = [setup.train.features, *([setup.validation.features] if setup.validation else [])]
    if config.data.test:
        examples = read_split(config, setup.task, config.data.test)
        splits.append(encode_split(config, setup.task, setup.tokenizer, examples).features)
    keys, values = list[int](), list[float]()
    pairs = sum(map(len, splits)) // 2
    with progress("computing the reference log-probabilities", 2 * pairs) as advance:
        for features in splits:
            for start in range(0, len(features), PART):
                part = features[start : start + PART]
                keys += map(key_of, part)
                values += _log_probabilities(config, setup, part)
                advance(len(part))
    reference = Reference.of(keys, values)
    setup.world.on_main(lambda: publish(run.at(FOLDER), reference.write))
    console.print(f"reference log-probabilities of {counted(pairs, 'pair')} are in {run.path / FOLDER}")
    return reference


def _log_probabilities(config: Config, setup: Setup, features: Sequence[Feature]) -> list[float]:
    """Of the replies of some pairs, in evaluation mode."""
    how: Any = {"precision": setup.precision, "world": setup.world, "budget": config.train.micro_batch_tokens}
    result = infer(setup.model, setup.task, setup.tokenizer, features, "loss", **how)
    return [-row[0] for row, _ in result.decoded]
