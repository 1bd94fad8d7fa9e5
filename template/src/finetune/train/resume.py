"""Resume a run that was interrupted or killed, if it stays the same experiment."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from ..config.config import Config
from ..config.flat import flat
from ..config.load import read_config
from ..errors import UserError
from ..run.folder import RunFolder
from .checkpoint import Checkpointed, TrainingState, load_checkpoint, newest_valid

FREE_TO_CHANGE = {
    *("run", "train.log_every", "train.keep_checkpoints", "train.device", "train.micro_batch_tokens"),
    *("train.parallel", "train.compile", "train.activation_checkpointing", "train.checkpoint_format"),
}
"""Keys that may differ when a run is resumed; any other would make it another experiment."""


def require_same_config(run: RunFolder, config: Config) -> None:
    """Refuse to resume under a config that would change the result."""
    if not run.config_file.is_file():
        raise UserError(f"{run.path}: there is no such run to resume: start without --resume")
    before, now = (flat(c.model_dump(mode="json")) for c in (read_config(run.config_file), config))
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key) and not _is_free(key):
            raise UserError(
                f"{run.path}: {key} was {before.get(key)} when the run was started and is {now.get(key)} now: "
                f"change it back to resume, or start without --resume"
            )


def _is_free(key: str) -> bool:
    key = re.sub(r"^stages\.\d+\.", "", key)
    return key in FREE_TO_CHANGE or key.split(".")[0] in FREE_TO_CHANGE


def require_same_inputs(run: RunFolder, environment: dict[str, Any], console: Console) -> None:
    """Refuse to resume on changed data files; warn of changed package versions."""
    before = {"packages": {}, "data": {}} | run.environment()
    for name, version in environment["packages"].items():
        if before["packages"].get(name) != version:
            was = before["packages"].get(name)
            console.print(f"[yellow]{name} was {was} at the start and is {version} now: the result may differ[/]")
    for name, checksum in environment["data"].items():
        if before["data"].get(name) != checksum:
            raise UserError(
                f"{name}: the file has changed since the run was started: put it back, or start without --resume"
            )


def with_same_choices(run: RunFolder, config: Config) -> Config:
    """`config` with what its defaults have chosen for the run so far, and might not choose again.

    That is the precision, whether to compile, the metric of the best step (the main one in runs of earlier versions),
    and the commit of a model of the Hub, unless its code was allowed at one.
    """
    chosen = {"precision": config.train.precision, "metric": config.task.main_metric} | run.environment()
    same = {name: chosen[name] for name in ("precision", "metric")}
    if config.train.compile == "auto":
        same["compile"] = chosen.get("compile", "auto")
    revision = chosen.get("revision", config.model.revision)
    if config.model.trust_remote_code:  # the commit whose code was read
        revision = config.model.revision
    return config.model_copy(
        update={
            "train": config.train.model_copy(update=same),
            "model": config.model.model_copy(update={"revision": revision}),
        }
    )


def restore(run: RunFolder, parts: Checkpointed, console: Console) -> TrainingState:
    """Resume from the newest intact checkpoint; a run that has none yet, from its beginning.

    Raises UserError if it has only damaged ones.
    """
    folder = parts.world.on_main(lambda: _newest(run, console))
    if folder is None:
        console.print(f"{run.path} has no checkpoint yet: starting from the beginning")
        return TrainingState()
    console.print(f"resuming from {folder}")
    with parts.world.raise_together():
        return load_checkpoint(folder, parts)


def _newest(run: RunFolder, console: Console) -> Path | None:
    folder, damaged = newest_valid(run.checkpoints)
    for path, wrong in damaged.items():
        console.print(f"{path} is passed over: {wrong}")
    if damaged and folder is None:
        raise UserError(f"{run.path}: no checkpoint is intact: put one back, or start without --resume")
    return folder


def can_be_resumed(run: RunFolder, config: Config) -> bool:
    """Whether there is something to continue, for `--resume auto`: a checkpoint, or a run that has none yet."""
    if not run.config_file.is_file() or config.stages:
        return run.config_file.is_file()
    folder, damaged = newest_valid(run.checkpoints)
    if folder or damaged:
        return folder is not None
    with suppress(UserError):  # with another config, which would be refused, nothing is lost by starting anew
        require_same_config(run, config)
        return True
    return False
