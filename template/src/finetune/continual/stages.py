"""A sequence of trainings, each of which continues the one before; after each, the model is evaluated on all stages."""

import json
import shutil
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from .. import optional
from ..config.config import Config, Data, Files
from ..console import make_console, print_line, print_table
from ..data.files import shown
from ..dataset import new_task, read_split
from ..distributed.world import SINGLE_PROCESS, World
from ..evaluate import measure
from ..files import MANIFEST, is_valid, publish, recover
from ..model.device import choose_device
from ..run.environment import describe_environment
from ..run.folder import STAGES, RunFolder
from ..run.saved_model import load_saved_model
from ..tasks.base import Task
from ..train.loop import train
from ..train.resume import can_be_resumed, require_same_config, require_same_inputs
from .forgetting import average, backward_transfer, forgetting
from .stage_config import run_name, stage_config

FORMAT = 1
"""Version of the keys in stages.json."""


def train_stages(
    config: Config, *, resume: bool = False, console: Console | None = None, world: World = SINGLE_PROCESS
) -> bool:
    """Train stage after stage, or resume an interrupted sequence; returns whether the last one has ended.

    Each is a run of its own in `stages/`; the sequence's `best/` is that of the last one. `stages.json` gets a row
    after each, which also says how far the sequence is. Raises what `train` does.
    """
    console = (console or make_console()) if world.is_main else Console(quiet=True)
    run = RunFolder(config.run_folder)
    with world.entered_on_main(run.claimed):
        done = world.on_main(lambda: open_sequence(config, run, resume, world.size, console))
        if done == len(config.stages):
            console.print(f"{run.path} has already ended")
        for number in range(done, len(config.stages)):
            stage = stage_config(config, number)
            console.print(f"\n[bold]stage {number + 1} of {len(config.stages)}[/]", highlight=False)
            begun = resume and world.on_main(partial(can_be_resumed, RunFolder(stage.run_folder), stage))
            if not train(stage, resume=begun, console=console, world=world):
                return False
            world.on_main(partial(record_stage, config, run, stage, console))
        world.on_main(lambda: keep_last(run, RunFolder(stage_config(config, len(config.stages) - 1).run_folder)))
    return True


def open_sequence(config: Config, run: RunFolder, resume: bool, processes: int, console: Console) -> int:
    """How many stages are done. Raises UserError for an error in any file, or a change that a resume does not allow."""
    run.at(STAGES)  # nothing is written through a link
    for number in range(len(config.stages)):  # an error in the last file should not wait for its turn
        read_all(stage_config(config, number))
    environment = describe_environment(config, choose_device(config.train.device), processes)
    if resume:
        require_same_config(run, config)
        require_same_inputs(run, environment, console)
    else:
        run.create(config, environment, console)
    return len(read_matrix(run))


def record_stage(config: Config, run: RunFolder, stage: Config, console: Console) -> None:
    """Write the report of a finished stage, and evaluate its model on the data of all stages."""
    if report := optional.find("report", "report"):
        report.write_report(stage.run_folder)
    show(write_matrix(run, config, [*read_matrix(run), scores(config, stage)]), console)


def read_all(stage: Config) -> None:
    """Raises UserError for an error in any of its files."""
    for files in (stage.data.train, stage.data.validation, stage.data.test):
        if files:
            read_split(stage, new_task(stage), files)


def scores(config: Config, finished: Config) -> list[float | None]:
    """Main metric of a finished stage's model on the data of every stage; None if it does not know all labels."""
    saved = load_saved_model(RunFolder(finished.run_folder).model, trust_remote_code=config.model.trust_remote_code)
    found: list[float | None] = []
    for number in range(len(config.stages)):
        stage = stage_config(config, number)
        examples = read_split(stage, new_task(stage), scored_files(stage.data))
        if knows(saved.task, stage, examples):
            scores = measure(stage, saved, examples).scores
            found.append(scores.metrics[saved.task.main_metric])
        else:
            found.append(None)
    return found


def scored_files(data: Data) -> Files:
    """The test data of a stage, or else its validation data; the config requires one of them."""
    return data.test or data.validation or ()


def knows(task: Task[Any, Any], stage: Config, examples: list[Any]) -> bool:
    """Whether the model of the task knows every label of the examples."""
    extended = new_task(stage)
    extended.load_state(deepcopy(task.state()))
    extended.extend(examples)
    return extended.model_options() == task.model_options()


def read_matrix(run: RunFolder) -> list[list[float | None]]:
    """The rows so far."""
    if not run.stages_file.is_file():
        return []
    matrix: list[list[float | None]] = json.loads(run.read(run.stages_file.name))["matrix"]
    return matrix


def write_matrix(run: RunFolder, config: Config, matrix: list[list[float | None]]) -> dict[str, Any]:
    """Write `stages.json` atomically; return its content."""
    task = config.task
    # Differences are gains: a perplexity that rises is a loss.
    sign = -1 if task.lower_is_better else 1
    gains = [[None if score is None else sign * score for score in row] for row in matrix]
    content = {
        "format": FORMAT,
        "headline": task.main_metric,
        "lower_is_better": task.lower_is_better,
        "continual": config.continual.type,
        "stages": [
            {"name": stage.name, "data": shown(scored_files(stage.data)), "run": run_name(number, stage)}
            for number, stage in enumerate(config.stages)
        ],
        "matrix": matrix,
        "average": average(matrix),
        "backward_transfer": backward_transfer(gains),
        "forgetting": forgetting(gains),
    }
    run.write(run.stages_file.name, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return content


def show(content: dict[str, Any], console: Console) -> None:
    """Print the matrix so far and its summary."""
    rows = [
        [f"after {stage['name']}", *("-" if score is None else score for score in row)]
        for stage, row in zip(content["stages"], content["matrix"], strict=False)
    ]
    columns = [content["headline"], *(f"on {stage['name']}" for stage in content["stages"])]
    print_table(console, columns, rows, text_columns=1)
    summary = {name: content[name] for name in ("average", "backward_transfer", "forgetting")}
    shown = [f"{name.replace('_', ' ')} {value:z.4f}" for name, value in summary.items() if value is not None]
    print_line(console, ", ".join(shown))


def keep_last(run: RunFolder, last: RunFolder) -> None:
    """Copy the model of the last stage to the sequence, so that it predicts and is evaluated like any run."""

    def write(target: Path) -> None:
        shutil.copytree(last.model, target, ignore=shutil.ignore_patterns(MANIFEST), dirs_exist_ok=True)

    recover(run.best)
    if not is_valid(run.best):
        publish(run.best, write)
