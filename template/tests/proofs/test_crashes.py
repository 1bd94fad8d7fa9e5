"""The power fails at any moment: from every content of the disk that this may leave, a run resumes.

`crashes.py` says what a disk may hold.
"""

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import QUIET, Project
from crashes import Disk, State
from kills import EARLIER as LEFT
from kills import last_line, left_by, start, wait
from test_checkpoint import save, trained
from test_kills import LOOP

from finetune.config.load import load_config
from finetune.errors import INTERRUPTED
from finetune.files import is_valid, publish, recover, write_atomic
from finetune.run.folder import RunFolder
from finetune.train import loop as training
from finetune.train.checkpoint import TrainingState, load_checkpoint, newest_valid
from finetune.train.resume import can_be_resumed


def written(state: State, folder: Path) -> Path:
    """A folder as a crash has left it."""
    shutil.rmtree(folder, ignore_errors=True)
    state.tree.write(folder)
    return folder


def test_a_save_leaves_the_new_checkpoint_or_the_one_before(tmp_path: Path) -> None:
    """The first of a run, and one that replaces another. When it has ended, the new one is on the disk."""
    watched, parts = tmp_path / "run", trained(1)
    watched.mkdir()
    for keep, before, after in ((2, 0, 1), (1, 1, 2)):
        disk = Disk(watched)
        with disk.recording():
            save(watched / "checkpoints", TrainingState(step=after), parts, keep=keep)
        for state in (states := [*disk.states()]):
            newest, _ = newest_valid(written(state, tmp_path / "after") / "checkpoints")
            found = load_checkpoint(newest, trained(2)).step if newest else 0
            assert found == after or (found == before and state.after < len(disk.ops)), state[:2]
        assert len(states) > 50


def test_a_model_or_file_that_is_replaced_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    watched, best, file = tmp_path / "run", tmp_path / "run" / "best", tmp_path / "run" / "config.json"
    watched.mkdir()

    def write(text: str) -> None:
        publish(best, lambda folder: (folder / "model.safetensors").write_text(text) and None)
        write_atomic(file, text)

    write("old" * 9)
    disk = Disk(watched)
    with disk.recording():
        write("new" * 9)
    for state in (states := [*disk.states()]):
        folder = written(state, tmp_path / "after")
        recover(folder / "best")
        assert is_valid(folder / "best"), state[:2]
        found = [(folder / name).read_text() for name in ("best/model.safetensors", "config.json")]
        assert set(found) <= {"old" * 9, "new" * 9}, state[:2]
        assert found == ["new" * 9] * 2 or state.after < len(disk.ops), state[:2]
    assert len(states) > 30


def resume() -> int:
    """Start the training or resume it, whichever is possible."""
    config = load_config(Path("config.yaml"))
    begun = can_be_resumed(RunFolder(config.run_folder), config)
    return 0 if training.train(config, resume=begun, console=QUIET) else INTERRUPTED


def recorded_training(project: Project) -> tuple[Disk, dict[str, Any]]:
    """A training from its first file on, and what it leaves."""
    project.config("text-classification", train=LOOP)
    disk = Disk(project.folder)
    with disk.recording():
        assert resume() == 0
    return disk, left_by(project.folder, LEFT)


def fault(state: State, whole: dict[str, Any], scratch: Path) -> str | None:
    """What is wrong after a crash when the training has been resumed, if anything is."""
    folder = written(state, scratch / "project")
    if code := wait(start(resume, folder, scratch)):
        return f"{state[:2]}: exit code {code}: {last_line(scratch)}"
    left = left_by(folder, LEFT)
    unequal = [name for name in sorted(whole.keys() | left.keys()) if whole.get(name) != left.get(name)]
    return f"{state[:2]}: {', '.join(unequal)}" if unequal else None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="starts forks of this process; this system has no fork")
def test_a_training_goes_on_from_whatever_a_crash_has_left(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """And leaves what one that ran through does, its log and the curves of TensorBoard without a gap or a double.

    A sample, and the end, where nothing is repeated; `dev.py bench reliability` takes more.
    """
    disk, whole = recorded_training(project)
    states, scratch = [*disk.states()], tmp_path_factory.mktemp("crash")
    assert len(states) > 1000
    end = next(state for state in states if state[:2] == (len(disk.ops), "content lost"))
    for state in (*random.Random(0).sample(states, 8), end):
        assert fault(state, whole, scratch) is None
