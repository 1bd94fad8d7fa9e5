"""Commands are killed at random moments, and repeated: nothing is lost, and each file is what it would have been."""

import itertools
import os
import random
import shutil
import signal
from pathlib import Path

import pytest
from conftest import Project, needs
from kills import LOCKS, copied, kill_often, last_line, left_by, start, stopped, uninterrupted, verbs, wait

from finetune.cli import main
from finetune.config.load import load_config
from finetune.errors import INTERRUPTED
from finetune.train import loop as training

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes; this system has no fork")

LOOP = {"max_steps": 6, "epochs": 3, "eval_every": 2, "log_every": 1, "keep_checkpoints": 2, "device": "cpu"}
KILLS = {"train": 6}
"""Of the other commands two each: 26 in all."""


@pytest.fixture
def prepared(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished run."""
    assert main(["train", str(project.config("text-classification", train=LOOP)), "run.name=done"]) == 0
    project.config("text-classification", name="forms")
    shutil.copytree("runs/done", "runs/other")
    return project.folder


@needs("continual", "init_data", "check_data", "report", "export", "monitor", "compare", "error_analysis", "explain")
def test_a_command_that_was_killed_is_repeated_as_if_nothing_had_been(
    prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    found = [
        kill_often(verb, prepared, tmp_path_factory.mktemp("kills"), KILLS.get(verb.name, 2), seed=0)
        for verb in verbs("config.yaml")
    ]
    assert sum(verb.kills for verb in found) == 26
    assert [line for verb in found for line in (*verb.lost, *verb.unequal)] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_training_in_seconds_and_a_resume_ends_it(
    number: signal.Signals, prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """At any moment: while torch is loaded, in a step, in the last save, in the evaluation or in the report."""
    scratch, (train, *_) = tmp_path_factory.mktemp("signals"), verbs("config.yaml")
    assert train.again
    draw, earlier = random.Random(0), f"{train.leaves}|/checkpoints/step-[2-5]/"
    with copied(prepared, scratch) as folder:
        duration, _ = uninterrupted(train.run, folder, scratch)
        whole = left_by(folder, earlier)
    for share in (0.05, *(draw.random() for _ in range(3))):
        with copied(prepared, scratch) as folder:
            code, seconds = stopped(train.run, folder, scratch, number, share * duration)
            assert code in (0, INTERRUPTED), last_line(scratch)  # 0: it had ended
            assert seconds < 5 + duration  # a machine under load
            assert wait(start(train.again, folder, scratch)) == 0
            assert left_by(folder, earlier) == whole


def test_a_signal_in_the_last_validation_leaves_out_the_evaluation(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which may take longer than whoever sent the signal waits."""
    path, validate = project.config("text-classification", train={"max_steps": 2, "device": "cpu"}), training.validate
    with monkeypatch.context() as patched:
        patched.setattr(training, "validate", lambda *all: (signal.raise_signal(signal.SIGTERM), validate(*all)))
        assert main(["train", str(path)]) == INTERRUPTED
    assert not Path("runs/config/evaluation-validation.json").exists()
    assert main(["train", str(path), "--resume"]) == 0
    assert "has already ended, at step 2" in capsys.readouterr().out
    assert Path("runs/config/evaluation-validation.json").exists()


def test_a_run_without_a_checkpoint_is_resumed_from_its_beginning(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In its folder: what it had logged comes once, in the log and in TensorBoard."""
    path = project.config("text-classification", train=LOOP)
    project.train(path)
    whole = left_by(Path("runs/config"), LOCKS)
    shutil.rmtree("runs/config")
    with monkeypatch.context() as patched:
        taken, step = itertools.count(1), training.optimizer_step
        patched.setattr(training, "optimizer_step", lambda *arguments: step(*arguments) if next(taken) < 2 else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            project.train(path)
    assert len(project.metrics("config")) == 1
    assert main(["train", str(path), "--resume", "optim.lr=0.5"]) == 2, "another experiment"
    assert training.train(load_config(path), resume=True)
    assert "runs/config has no checkpoint yet: starting from the beginning" in capsys.readouterr().out
    assert left_by(Path("runs/config"), LOCKS) == whole
    assert [run.name for run in Path("runs").iterdir() if run.name[0] != "."] == ["config"]
