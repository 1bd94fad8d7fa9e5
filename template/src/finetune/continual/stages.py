"""Trainings that follow each other, each from the model of the one before; after each, a look back at all of them."""

import json
import shutil
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..config.config import Config, Data, Run, Stage
from ..console import make_console
from ..dataset import read_split
from ..distributed.world import SINGLE_PROCESS, World
from ..evaluate import measure
from ..files import MANIFEST, is_valid, publish, recover, write_atomic
from ..model.device import choose_device
from ..report.report import write_report
from ..run.environment import describe_environment
from ..run.folder import STAGES, RunFolder
from ..run.saved_model import load_saved_model
from ..tasks import make_task
from ..tasks.base import Task
from ..train.checkpoint import newest_valid
from ..train.loop import train
from ..train.resume import require_same_config, require_same_inputs
from .forgetting import average, backward_transfer, forgetting

FORMAT = 1
"""Version of the keys in stages.json."""


def train_stages(
    config: Config, *, resume: bool = False, console: Console | None = None, world: World = SINGLE_PROCESS
) -> bool:
    """Train stage after stage, or go on where an earlier call was stopped; returns whether the last one has ended.

    Each is a run of its own in `stages/`; the run's own `best/` is that of the last one. `stages.json` grows by a row
    with each, so that it says how far the sequence is. Raises what `train` does.
    """
    console = (console or make_console()) if world.leads else Console(quiet=True)
    run = RunFolder(config.run_folder)
    with world.held(run.claimed):
        done = world.once(lambda: open_sequence(config, run, resume, world.size, console))
        if done == len(config.stages):
            console.print(f"{run.path} has already come to its end")
        for number in range(done, len(config.stages)):
            stage = stage_config(config, number)
            console.print(f"\n[bold]stage {number + 1} of {len(config.stages)}[/]", highlight=False)
            begun = resume and world.once(partial(is_begun, stage))
            if not train(stage, resume=begun, console=console, world=world):
                return False
            world.once(partial(restart_from, config, run, stage, console))
        world.once(lambda: keep_last(run, RunFolder(stage_config(config, len(config.stages) - 1).run_folder)))
    return True


def open_sequence(config: Config, run: RunFolder, resume: bool, processes: int, console: Console) -> int:
    """How many stages are done. Raises UserError for a fault in any file, or for what a resume must not change."""
    for number in range(len(config.stages)):  # a fault in the last file should not wait until it is its turn
        read_all(stage_config(config, number))
    environment = describe_environment(config, choose_device(config.train.device), processes)
    if resume:
        require_same_config(run, config)
        require_same_inputs(run, environment, console)
    else:
        run.create(config, environment)
    return len(read_matrix(run))


def is_begun(stage: Config) -> bool:
    """Whether there is a checkpoint to go on from."""
    return newest_valid(RunFolder(stage.run_folder).checkpoints)[0] is not None


def restart_from(config: Config, run: RunFolder, stage: Config, console: Console) -> None:
    """Report on a finished stage, and score its model on the data of all."""
    write_report(stage.run_folder)
    show(write_matrix(run, config, [*read_matrix(run), scores(config, stage)]), console)


def stage_config(config: Config, number: int) -> Config:
    """A stage as a run of its own, which goes on from the one before."""
    stage = config.stages[number]
    folder = config.run_folder / STAGES
    before = folder / run_name(number - 1, config.stages[number - 1]) if number else config.continue_from
    return config.model_copy(
        update={
            "data": stage.data,
            "train": stage.train,
            "optim": stage.optim,
            "run": Run(name=run_name(number, stage), dir=folder),
            "continue_from": before,
            "stages": [],
        }
    )


def run_name(number: int, stage: Stage) -> str:
    """The folder of a stage's run."""
    return f"{number + 1}-{stage.name}"


def read_all(stage: Config) -> None:
    """Raises UserError for a fault in any of its files."""
    for path in (stage.data.train, stage.data.validation, stage.data.test):
        if path:
            read_split(stage, make_task(stage.task), path)


def scores(config: Config, finished: Config) -> list[float | None]:
    """The headline of a finished stage's model on the data of every stage; None where it lacks labels of it."""
    finetuned = load_saved_model(RunFolder(finished.run_folder).best)
    found: list[float | None] = []
    for number in range(len(config.stages)):
        stage = stage_config(config, number)
        examples = read_split(stage, make_task(stage.task), scored_file(stage.data))
        if knows(finetuned.task, stage, examples):
            measured, _ = measure(stage, finetuned, examples)
            found.append(measured["metrics"][measured["headline"]])
        else:
            found.append(None)
    return found


def scored_file(data: Data) -> Path:
    """The test data of a stage, or else its validation data; the config has made sure of one of them."""
    return Path(str(data.test or data.validation))


def knows(task: Task[Any, Any], stage: Config, examples: list[Any]) -> bool:
    """Whether the model of the task has a place for every label of the examples."""
    extended = make_task(stage.task)
    extended.load_state(deepcopy(task.state()))
    extended.extend(examples)
    return extended.model_options() == task.model_options()


def read_matrix(run: RunFolder) -> list[list[float | None]]:
    """The rows so far."""
    if not run.stages_file.is_file():
        return []
    matrix: list[list[float | None]] = json.loads(run.stages_file.read_text(encoding="utf-8"))["matrix"]
    return matrix


def write_matrix(run: RunFolder, config: Config, matrix: list[list[float | None]]) -> dict[str, Any]:
    """Write `stages.json`, whole or not at all; return what it says."""
    task = config.task
    # What compares scores is about gains: a perplexity that rises is a loss.
    sign = -1 if task.lower_is_better else 1
    gains = [[None if score is None else sign * score for score in row] for row in matrix]
    content = {
        "format": FORMAT,
        "headline": task.main_metric,
        "lower_is_better": task.lower_is_better,
        "continual": config.continual.type,
        "stages": [
            {"name": stage.name, "data": scored_file(stage.data).as_posix(), "run": run_name(number, stage)}
            for number, stage in enumerate(config.stages)
        ],
        "matrix": matrix,
        "average": average(matrix),
        "backward_transfer": backward_transfer(gains),
        "forgetting": forgetting(gains),
    }
    write_atomic(run.stages_file, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return content


def show(content: dict[str, Any], console: Console) -> None:
    """Print the matrix so far, and what it comes to."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(content["headline"])
    for stage in content["stages"]:
        table.add_column(f"on {escape(stage['name'])}", justify="right")
    for stage, row in zip(content["stages"], content["matrix"], strict=False):
        cells = ("-" if score is None else f"{score:.4f}" for score in row)
        table.add_row(f"after {escape(stage['name'])}", *cells)
    console.print(table, highlight=False)
    figures = {name: content[name] for name in ("average", "backward_transfer", "forgetting")}
    told = [f"{name.replace('_', ' ')} {value:.4f}" for name, value in figures.items() if value is not None]
    console.print(", ".join(told), highlight=False)


def keep_last(run: RunFolder, last: RunFolder) -> None:
    """Give the sequence the model of its last stage, so that it predicts and is evaluated like any run."""

    def write(target: Path) -> None:
        shutil.copytree(last.best, target, ignore=shutil.ignore_patterns(MANIFEST), dirs_exist_ok=True)

    recover(run.best)
    if not is_valid(run.best):
        publish(run.best, write)
