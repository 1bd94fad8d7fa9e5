"""The training log: which curves TensorBoard shows, under which name, and what a resumed run deletes."""

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import QUIET, Project
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG, parse_session_start_info_plugin_data

from finetune.config.load import load_config
from finetune.run.folder import RunFolder
from finetune.run.log import TrainingLog

STEP = {
    "epoch": 0.5,
    "loss": 0.9,
    "lr": 1e-3,
    "grad_norm": 1.0,
    "examples_per_second": 9.0,
    "tokens_per_second": 99.0,
    "padding": 0.25,
    "seconds": 1.5,
}
VALIDATION = {"epoch": 0.5, "loss": 0.7, "accuracy": 0.8, "f1_macro": 0.6}


@pytest.fixture
def run(project: Project) -> RunFolder:
    config = load_config(project.config("text-classification"), [])
    run = RunFolder(config.run_folder)
    run.create(config, {})
    return run


def log(run: RunFolder, steps: list[int], best: int, done: int = 0) -> None:
    """A training record and a validation at each of the steps, of which `best` is the best so far."""
    log = TrainingLog(run, QUIET, total_steps=4, done=done)
    with log.live():
        for step in steps:
            log.step({"step": step, **STEP})
            log.validation({"step": step, **VALIDATION, "best": step == best}, ["accuracy"])


def events(run: RunFolder) -> Any:
    return EventAccumulator(str(run.path)).Reload()


def test_the_losses_and_the_main_metric_come_first(run: RunFolder) -> None:
    """TensorBoard sorts cards by tag and opens the first two groups: theirs. Time and epochs are no curves."""
    log(run, [1], best=1)
    tags = sorted(events(run).Tags()["scalars"])
    assert tags[:3] == ["train/loss", "validation/accuracy", "validation/loss"]
    assert [tag for tag in tags if tag.startswith(("train/", "validation/"))] == tags[:3]
    assert "validation_metrics/f1_macro" in tags
    assert "weight_update/learning_rate" in tags
    assert not [tag for tag in tags if tag.endswith(("epoch", "seconds", "best", "step"))]


def test_a_run_has_one_name_in_tensorboard(run: RunFolder) -> None:
    """That of its folder: TensorBoard takes every folder with events for a run."""
    log(run, [1], best=1)
    assert {path.parent for path in Path("runs").rglob("*tfevents*")} == {run.path}


def test_hyperparameters_are_those_of_the_config(run: RunFolder) -> None:
    log(run, [1], best=1)
    content = events(run).summary_metadata[SESSION_START_INFO_TAG].plugin_data.content
    values = parse_session_start_info_plugin_data(content).hparams
    assert values["method.type"].string_value == "full"
    assert values["optim.lr"].number_value == 1e-3
    assert values["train.batch_size"].number_value == 4
    assert not [name for name in values if name.startswith(("run", "data"))]


def test_the_final_metrics_are_those_of_the_best_model(run: RunFolder) -> None:
    log(run, [1, 2, 3], best=2)
    assert [point.step for point in events(run).Scalars("validation_best/accuracy")] == [2]
    assert [point.step for point in events(run).Scalars("validation/accuracy")] == [1, 2, 3]


def test_a_resumed_run_repeats_no_point(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on from step 2, and had logged step 3."""
    log(run, [1, 2, 3], best=1)
    with monkeypatch.context() as patched:
        # Event files are read in the order of their seconds; within one, a process's tenth file comes before its ninth.
        later = time.time() + 1
        patched.setattr(time, "time", lambda: later)
        log(run, [3, 4], best=4, done=2)
    assert [point.step for point in events(run).Scalars("train/loss")] == [1, 2, 3, 4]
    assert SESSION_START_INFO_TAG in events(run).summary_metadata
    steps = [json.loads(line)["step"] for line in run.metrics_file.read_text().splitlines()]
    assert steps == [1, 1, 2, 2, 3, 3, 4, 4]


def test_the_line_of_a_terminal_fits_into_80_columns(run: RunFolder) -> None:
    """With the time that remains; a progress line that is too long is cut at its end."""
    shown = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None, emoji=False)
    log = TrainingLog(run, shown, total_steps=99_999, done=0)
    with log.live():
        log.step({**STEP, "step": 10, "examples_per_second": 9999.0, "tokens_per_second": 99999.0})
        log.advance(10)
    text = shown.file.getvalue()  # type: ignore[attr-defined]
    assert "loss 0.900  lr 1.0e-03  9999 ex/s  99999 tok/s" in text
    assert "…" not in text
