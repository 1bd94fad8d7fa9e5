"""A stage of a pipeline: an ordinary training, which is left alone where it has ended with these settings and data."""

import json
from contextlib import suppress
from pathlib import Path

import yaml
from rich.console import Console
from rich.markup import escape

from ..cli import main
from ..config.config import Config
from ..console import print_line
from ..data.files import checksum
from ..errors import OK, UserError
from ..files import Folder
from ..run.folder import RunFolder
from ..train.resume import require_same_config
from .settings import Plan, Stage


def run_of(plan: Plan, stage: Stage) -> RunFolder:
    """The run of a stage."""
    return RunFolder(plan.configs[stage].run_folder)


def train_stage(plan: Plan, stage: Stage, folder: Folder, console: Console) -> int:
    """Train a stage as `finetune train` does, and score it on its test data; the exit code of what failed, or 0.

    A run that was interrupted goes on; one that has ended with the same settings and data is taken as it is; one with
    others is trained anew, and keeps its place under another name.
    """
    config, run = plan.configs[stage], run_of(plan, stage)
    same = is_same(run, config)
    print_line(console, f"\n[bold]{stage}[/]: {escape(str(run.path))}")
    if same and run.has_model and not run.is_interrupted():
        print_line(console, "trained before, with the same settings and data")
    else:
        file = write_config(plan, stage, folder)
        if code := main(["train", str(file), *(["--resume", "auto"] if same else [])]):
            return code
    if config.data.test and not (run.path / run.evaluation_name("test")).is_file():
        return main(["evaluate", str(run.path)])
    return OK


def is_same(run: RunFolder, config: Config) -> bool:
    """Whether a run was started with this config, and its data are still the same."""
    with suppress(UserError, OSError):
        require_same_config(run, config)
        data = run.environment()["data"]
        return all(Path(name).exists() and checksum(Path(name)) == known for name, known in data.items())
    return False


def write_config(plan: Plan, stage: Stage, folder: Folder) -> Path:
    """Write the config of a stage, which `finetune train` reads."""
    values = plan.configs[stage].model_dump(mode="json", exclude_unset=True)
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120)
    return folder.write(f"{stage}.yaml", f"# The stage {stage} of {plan.file.as_posix()}.\n{text}")


def test_metrics(run: RunFolder) -> dict[str, float]:
    """The metrics of a stage on its own test data; empty without them."""
    file = run.path / run.evaluation_name("test")
    return dict(json.loads(file.read_text("utf-8"))["metrics"]) if file.is_file() else {}
