"""The folder of a run: its files by name, who may write to it, and how to find it again."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..config.config import Config
from ..config.load import read_config
from ..errors import UserError
from ..files import recover, write_atomic

STAGES = "stages"
"""The folder of a sequence of trainings in which each has its own run."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """`runs/<name>/`: config.json, environment.json, metrics.jsonl, tensorboard/, checkpoints/, best/, report/, ..."""

    path: Path

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
        """One JSON object a line: what was logged while training."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """`step-N/` folders to resume from."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """The best model, complete in itself: weights, tokenizer, labels."""
        return self.path / "best"

    @property
    def stages_file(self) -> Path:
        """For a sequence of stages: the scores of the model after each of them on the data of all."""
        return self.path / "stages.json"

    def evaluation_file(self, split: str) -> Path:
        """The figures of a split."""
        return self.path / f"evaluation-{split}.json"

    def config(self) -> Config:
        """The config that the run was made with."""
        return read_config(self.config_file)

    def create(self, config: Config, environment: dict[str, Any]) -> None:
        """Make the folder; an earlier run of that name moves aside to `<name>-1`, `-2`, ..."""
        if self.path.exists():
            os.replace(self.path, self._free_name())
        self.path.mkdir(parents=True)
        write_atomic(self.config_file, config.model_dump_json(indent=2) + "\n")
        write_atomic(self.environment_file, json.dumps(environment, indent=2) + "\n")

    def _free_name(self) -> Path:
        number = 1
        while (path := self.path.with_name(f"{self.path.name}-{number}")).exists():
            number += 1
        return path

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep other processes from training into this folder meanwhile."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path.with_name(f".{self.path.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise UserError(
                f"{self.path}: another training is writing here: wait for it, or choose another name with run.name=..."
            ) from error
        try:
            recover(self.best)
            yield
        finally:
            lock.release()


def data_check_folder(runs: Path, name: str) -> Path:
    """Where `check-data` writes: beside the runs of that name, for a run starts with an empty folder.

    That of a stage lies in the folder of the whole sequence.
    """
    if runs.name == STAGES and runs.parent.name:
        return data_check_folder(runs.parent.parent, runs.parent.name) / name
    return runs / f"{name}-data"


def find_run(name: str, runs: Path = Path("runs")) -> RunFolder:
    """The run in the folder `name`; `latest` is the one in `runs` that was started last.

    Raises UserError if there is none.
    """
    if name == "latest":
        started = {path.parent: path.stat().st_mtime for path in runs.glob("*/config.json")}
        if not started:
            raise UserError(f"{runs}: there is no run yet: start one with `python -m finetune train configs/demo.yaml`")
        return RunFolder(max(started, key=lambda path: started[path]))
    run = RunFolder(Path(name))
    if not run.config_file.is_file():
        others = ", ".join(sorted(str(path.parent) for path in runs.glob("*/config.json"))) or "none yet"
        raise UserError(f"{name}: is not the folder of a run (runs here: {others}): name one of them, or latest")
    return run
