"""Numbers that are not finite stop a training, spikes are reported, and a folder that is gone is not made anew."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import QUIET, Project, assert_resumes_to_the_bit

from finetune.cli import main
from finetune.config.load import load_config
from finetune.train import guards
from finetune.train import loop as training
from finetune.train.guards import RECENT, NotFiniteError, find_spike
from finetune.train.throughput import StepStats


def test_a_spike_is_twice_the_largest_loss_before() -> None:
    """Not before there are 20 steps; once seen, it is the largest one itself, for 100 steps."""
    recent: list[float] = []
    steps = [StepStats(loss=2.0 * (1 + 0.1 * (number % 3)), count=2) for number in range(RECENT)]
    assert [find_spike(recent, step) for step in steps[:19]] == [{}] * 19
    assert find_spike(recent, StepStats(loss=99.0, count=1)) == {}
    recent[-1] = 1.2
    assert find_spike(recent, StepStats(loss=2.3, count=1)) == {}
    assert find_spike(recent, StepStats(loss=14.1, count=3)) == {"loss": 4.7, "largest_before": 2.3}
    assert [find_spike(recent, step) for step in steps] == [{}] * RECENT
    assert len(recent) == RECENT
    assert find_spike(recent, StepStats(loss=2.5, count=1)) == {"loss": 2.5, "largest_before": pytest.approx(1.2)}


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps are enough, and the text `bright and warm` has a large loss from the second epoch on."""
    monkeypatch.setattr(guards, "LEAST", 3)
    step = training.optimizer_step

    def stepping(config: Any, setup: Any, rows: Any) -> StepStats:
        done = step(config, setup, rows)
        if 4 in rows and setup.schedule.last_epoch > 4:
            done.loss *= 50
        return done

    monkeypatch.setattr(training, "optimizer_step", stepping)


@pytest.mark.usefixtures("jump")
def test_a_spike_is_logged_with_its_examples_and_repeated_by_a_resumed_run(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project.config("text-classification", train={"max_steps": 15, "epochs": 3, "batch_size": 2, "eval_every": 5})
    assert_resumes_to_the_bit(project, path, 7, monkeypatch)
    spikes = [record for record in project.metrics("whole") if record["kind"] == "spike"]
    assert spikes
    assert all(record["loss"] > 2 * record["largest_before"] for record in spikes)
    assert all("train.jsonl:5" in record["examples"] for record in spikes)
    assert main(["train", str(path)]) == 0, "its report reads the log"
    assert f"step {spikes[0]['step']}: spike: loss " in capsys.readouterr().out


@pytest.mark.parametrize("row", [0, 3, 4])
def test_a_validation_loss_that_is_not_finite_stops_and_names_the_example(
    row: int, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(project.config("text-classification", train={"eval_every": 1}))
    bad = training.build(config).validation
    assert bad
    ids, infer = bad.features[row].inputs["input_ids"], training.infer

    def poisoned(model: Any, task: Any, tokenizer: Any, features: Any, *arguments: Any, **options: Any) -> Any:
        result = infer(model, task, tokenizer, features, *arguments, **options)
        has_it = any(list(feature.inputs["input_ids"]) == list(ids) for feature in features)
        result.loss = float("nan") if has_it else result.loss
        return result

    monkeypatch.setattr(training, "infer", poisoned)
    with pytest.raises(NotFiniteError, match=rf"the loss of example {row + 1} of the validation data is not finite"):
        training.train(config, console=QUIET)
    assert not Path("runs/config/best").exists(), "no model is kept whose loss is not a number"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # of TensorBoard's thread
def test_a_folder_that_is_gone_is_not_made_anew(
    project: Project, monkeypatch: pytest.MonkeyPatch, refused: Any
) -> None:
    step = training.optimizer_step

    def stepping(*arguments: Any) -> StepStats:
        shutil.rmtree("runs/config")
        return step(*arguments)

    monkeypatch.setattr(training, "optimizer_step", stepping)
    said = refused("train", project.config("text-classification", train={"eval_every": 1}))
    assert said == "runs/config: was removed or renamed during the training: put it back to resume"
    assert not os.path.lexists("runs/config")
