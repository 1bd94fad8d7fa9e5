"""The folder of a run: the names of its files, its lock, and how to find it."""

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
"""In the folder of a run with stages: the folder of the runs of its stages."""


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
        """The training log: one JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints, `step-N/`."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """The best model: weights, tokenizer, labels."""
        return self.path / "best"

    @property
    def stages_file(self) -> Path:
        """With stages: the scores of the model after each stage on the data of every stage."""
        return self.path / "stages.json"

    def evaluation_file(self, split: str) -> Path:
        """The metrics on a split."""
        return self.path / f"evaluation-{split}.json"

    def config(self) -> Config:
        """The resolved config of the run. It does not allow remote code: only the command that is running can."""
        config = read_config(self.config_file)
        return config.model_copy(update={"model": config.model.model_copy(update={"trust_remote_code": False})})

    def create(self, config: Config, environment: dict[str, Any]) -> None:
        """Make the folder; an earlier run of that name is renamed to `<name>-1`, `-2`, ..."""
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
        """Lock the folder against other trainings. Raises UserError if another one holds the lock."""
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
    """Where `check-data` writes: beside the run of that name, because a run starts with an empty folder.

    That of a stage is inside the one of the run with stages.
    """
    if runs.name == STAGES and runs.parent.name:
        return data_check_folder(runs.parent.parent, runs.parent.name) / name
    return runs / f"{name}-data"


def find_run(name: str, runs: Path = Path("runs")) -> RunFolder:
    """The run in the folder `name`; `latest` is the one in `runs` that was started last. Raises UserError."""
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
