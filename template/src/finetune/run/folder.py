"""The folder of a run: the names of its files, its lock, and whether its training has ended."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console
from rich.markup import escape

from ..config.config import Config
from ..config.load import read_config
from ..console import notice, print_line
from ..errors import UserError
from ..files import (
    MANIFEST,
    Folder,
    before,
    damage,
    entries,
    is_folder,
    is_link,
    make_folders,
    move,
    new_folder,
    reads_content,
    recover,
)
from .records import Environment, Evaluation, checked_record, read_record

STEP = re.compile(r"step-(0|[1-9][0-9]{0,17})")
"""Name of a checkpoint."""
EVALUATION = re.compile(r"evaluation-(.+)\.json")
STAGES = "stages"
"""In the folder of a run with stages: the folder of the runs of its stages."""


@dataclass(frozen=True, slots=True)
class RunFolder(Folder):
    """`runs/<name>/`: config.json, environment.json, metrics.jsonl, events of TensorBoard, checkpoints/, best/, ...

    Other files in it, such as notes or copies made by a file manager, are neither read nor changed. best/ and the
    checkpoints are replaced and removed as a whole, with all that is in them.
    """

    @property
    def config_file(self) -> Path:
        """The resolved config."""
        return self.path / "config.json"

    @property
    def environment_file(self) -> Path:
        """Versions, hardware and checksums of the data."""
        return self.path / "environment.json"

    @property
    def metrics_file(self) -> Path:
        """The training log: one JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def lock_file(self) -> Path:
        """The file that a training locks while it writes to the folder; beside it, because the folder may be moved."""
        return self.path.with_name(f".{self.path.name}.lock")

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints, `step-N/`."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """The best model: weights, tokenizer, labels."""
        return self.path / "best"

    @property
    def model(self) -> Path:
        """The folder to read the best model from: `best/`, or where that is missing or damaged the one before it.

        Raises UserError for a damaged model without an intact one before it.
        """
        self.at(self.best.name)
        return _intact(self.best, (*_stamps(self.best), *_stamps(before(self.best))))

    @property
    def stages_file(self) -> Path:
        """With stages: the scores of the model after each stage on the data of every stage."""
        return self.path / "stages.json"

    def evaluations(self) -> list[dict[str, Any]]:
        """What `evaluate` has found, that of the test data first. Copies of its files with other names are left out."""
        found = {}
        for path in entries(self.path):
            if name := EVALUATION.fullmatch(path.name):
                remedy = "remove it and evaluate again"
                content = self.read_object(path.name, remedy)
                if content.get("split") == name[1]:
                    found[name[1]] = checked_record(self, path.name, content, Evaluation, remedy)
        return [found[split] for split in sorted(found, key=lambda split: (split != "test", split))]

    def evaluation(self, split: str) -> dict[str, Any] | None:
        """What `evaluate` has found on a split; None where its files are missing, or older than the model."""
        found = next((one for one in self.evaluations() if one["split"] == split), None)
        written = [
            *(self.path / name for name in (self.evaluation_name(split), self.contributions_name(split))),
            self.model / MANIFEST,
        ]
        if not found or not found.get("fingerprint") or not all(map(os.path.isfile, written)):
            return None
        evaluated, contributed, trained = (path.stat().st_mtime for path in written)
        return found if min(evaluated, contributed) >= trained else None

    @staticmethod
    def evaluation_name(split: str) -> str:
        """The name of the file with the metrics on a split."""
        return f"evaluation-{split}.json"

    @staticmethod
    def contributions_name(split: str) -> str:
        """The name of the file with the contributions of the examples of a split to the main metric."""
        return f"evaluation-{split}.safetensors"

    def config(self) -> Config:
        """The resolved config of the run. It does not allow remote code: only the command that is running can."""
        config = self._recorded_config()
        return config.model_copy(update={"model": config.model.model_copy(update={"trust_remote_code": False})})

    def _recorded_config(self) -> Config:
        self.at(self.config_file.name)
        return read_config(self.config_file)

    def environment(self) -> dict[str, Any]:
        """What was recorded when the run was started. Raises UserError if that is missing or damaged."""
        return read_record(self, self.environment_file.name, Environment, "start the training again")

    @property
    def has_model(self) -> bool:
        """Whether the best model has been saved."""
        return any((folder / "config.json").is_file() for folder in (self.best, before(self.best)))

    def is_interrupted(self) -> bool:
        """Whether the training stopped before its end, and can be continued."""
        try:
            config = self.config()
        except UserError:  # of another version
            return False
        if config.stages:  # it gets its model at its end; the runs of its stages know its name
            return not self.has_model and config.run.name == self.path.name
        newest = next(iter(checkpoints_in(self.checkpoints)), None)
        if newest is None:
            return False
        try:
            state, patience = json.loads(Folder(newest).read("progress.json")), config.train.patience
            stopped_early = patience is not None and state["stale"] >= patience
            return not stopped_early and bool(state["step"] < self.environment().get("total_steps", 0))
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            RecursionError,
            UserError,
        ):  # a resume passes it over, and says so
            return True

    def create(self, config: Config, environment: dict[str, Any], console: Console | None = None) -> None:
        """Make the folder; an earlier run of that name is renamed to `<name>-1`, `-2`, ..., which `console` shows."""
        with new_folder(self.path) as folder:
            folder.write(self.config_file.name, config.model_dump_json(indent=2) + "\n")
            folder.write(self.environment_file.name, json.dumps(environment, indent=2) + "\n")
            earlier = RunFolder(self._free_name())
            if move(self.path, earlier.path) and console:
                print_line(console, escape(f"{self.path}: {earlier.as_earlier_run()}"))

    def as_earlier_run(self) -> str:
        """What has become of an earlier run, and how to continue it."""
        if not self.is_interrupted():
            return f"the earlier run is now {self.path}"
        return f"the earlier run was interrupted; to continue it: {self.resume_command()}"

    def resume_command(self) -> str:
        """The command that continues the run; code that comes with its model has to be allowed again."""
        allowance = " model.trust_remote_code=true" if self.needs_remote_code() else ""
        return f"python -m finetune train {self.path} --resume{allowance}"

    def needs_remote_code(self) -> bool:
        """Whether the run was started with an allowance to run remote code."""
        return self._recorded_config().model.trust_remote_code

    def _free_name(self) -> Path:
        number = 1
        while os.path.lexists(path := self.path.with_name(f"{self.path.name}-{number}")):
            number += 1
        return path

    @property
    def is_claimed(self) -> bool:
        """Whether a training writes here. One that starts in this very moment is refused: do not ask often."""
        try:
            with FileLock(self.lock_file).acquire(timeout=0):
                return False
        except Timeout:
            return True

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Lock the folder against other trainings. Raises UserError if another holds the lock or it cannot be made."""
        try:
            make_folders(self.path.parent)
        except OSError as error:
            raise UserError(
                f"run.dir: the folder {self.path.parent} cannot be made ({error.strerror}): choose another one"
            ) from error
        lock = FileLock(self.lock_file)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise UserError(
                f"{self.path}: another training is writing here: wait for it, or choose another name with run.name=..."
            ) from error
        try:
            for name in ("best", "best.old", "checkpoints", STAGES):
                self.at(name)  # nothing is written through a link
            recover(self.best)
            self.remove_leftovers()
            yield
        finally:
            lock.release()


@lru_cache
def _intact(best: Path, stamps: tuple[tuple[str, int, int], ...]) -> Path:
    """`best`, or the version before it. Cached while the `stamps` of both stay, because checksums take time."""
    earlier = before(best)
    checksums = reads_content()
    wrong = damage(best, checksums=checksums) if os.path.lexists(best) else "is missing"
    if wrong is None or not (os.path.lexists(best) or is_folder(earlier)):
        return best
    if is_folder(earlier) and not is_link(earlier) and damage(earlier, checksums=checksums) is None:
        notice(f"{best}: {wrong}: the version before it is used, {earlier}")
        return earlier
    raise UserError(f"{best}: {wrong}: put back an intact copy of the folder, or train the run again")


def _stamps(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Path, size and time of the last change of each file."""
    for path in sorted(folder.absolute().rglob("*")):
        with suppress(OSError):
            found = path.lstat()
            yield str(path), found.st_size, found.st_mtime_ns


def cache_folder(runs: Path) -> Path:
    """Where the trainings that write to `runs` keep what they read; stages, where the run with stages does."""
    return (runs.parent.parent if runs.name == STAGES else runs) / ".cache"


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints, newest first. Copies that a file manager has made, such as `step-40 copy`, are none."""
    return sorted((path for path in entries(folder) if STEP.fullmatch(path.name) and is_folder(path)),
                  key=step_of, reverse=True)  # fmt: skip


def step_of(checkpoint: Path) -> int:
    """The step of a checkpoint, by the name of its folder."""
    return int(checkpoint.name.removeprefix("step-"))


def data_check_folder(runs: Path, name: str) -> Path:
    """Where `check-data` writes: beside the run of that name, because a run starts with an empty folder.

    That of a stage is inside the one of the run with stages.
    """
    if runs.name == STAGES and runs.parent.name:
        return data_check_folder(runs.parent.parent, runs.parent.name) / name
    return runs / f"{name}-data"
