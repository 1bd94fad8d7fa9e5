"""Interrupting a training: Ctrl-C saves a checkpoint, a second one ends at once, and a killed run resumes."""

import multiprocessing
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Project
from rich.console import Console

from finetune.cli import main
from finetune.config.load import load_config
from finetune.run.folder import RunFolder
from finetune.train import loop as training
from finetune.train.interrupt import stop_signal

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="a copy of this process is stopped; here is no fork")


def wait_for(pattern: str, process: Any) -> None:
    """Until a file of that name holds something."""
    while not any(path.stat().st_size for path in Path().glob(pattern)):
        assert process.is_alive()
        time.sleep(0.02)


@needs_fork
def test_interrupt_saves(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    path = project.config("text-classification", train={"epochs": 5000, "log_every": 1})
    process = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(main(["train", str(path)])))
    process.start()
    wait_for("runs/config/metrics.jsonl", process)
    os.kill(process.pid or 0, signal.SIGINT)
    process.join()
    assert process.exitcode == 130
    printed = capfd.readouterr().out
    saved = re.search(r"interrupted and saved at step (\d+)", printed)
    assert saved, printed
    assert Path(f"runs/config/checkpoints/step-{saved[1]}/manifest.json").is_file()


@pytest.mark.parametrize("wish", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_step_and_a_second_ctrl_c_at_once(wish: signal.Signals) -> None:
    before = signal.getsignal(wish)
    with stop_signal() as stopped:
        signal.raise_signal(wish)
        assert stopped.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(wish) is before


@needs_fork
def test_killed_run_resumes(project: Project) -> None:
    path = project.config("text-classification", train={"epochs": 5000, "eval_every": 2, "device": "cpu"})
    process = multiprocessing.get_context("fork").Process(target=project.train, args=(path,))
    process.start()
    wait_for("runs/config/checkpoints/step-*[0-9]/manifest.json", process)
    process.kill()
    process.join()
    config = load_config(path)
    setup = training.build(config)
    run = RunFolder(config.run_folder)
    progress = training.restore(run, setup, Console(quiet=True))
    assert progress.step >= 2
