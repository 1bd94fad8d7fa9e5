"""A damaged checkpoint is never taken, and never costs an intact one; a lock outlives no process."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import QUIET, Project, stop_after
from kills import EARLIER, left_by, start, wait
from test_checkpoint import save, trained

from finetune.config.load import load_config
from finetune.files import MANIFEST
from finetune.run.folder import RunFolder
from finetune.train import loop as training
from finetune.train.checkpoint import TrainingState, newest_valid

FILES = ("model.safetensors", "trainer.json", "trainer.safetensors", "progress.json", MANIFEST)


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def replace_by_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def replace_by_link(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")


WAYS: dict[str, Callable[[Path], object]] = {
    "cut": lambda file: os.truncate(file, file.stat().st_size - 1),
    "halved": lambda file: os.truncate(file, file.stat().st_size // 2),
    "emptied": lambda file: os.truncate(file, 0),
    "a bit flipped": flip,
    "grown": lambda file: file.write_bytes(file.read_bytes() + b"\0"),
    "zeros": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "removed": lambda file: file.unlink(),
    "a folder": replace_by_folder,
    "a link": replace_by_link,
}


def test_each_file_in_each_way(tmp_path: Path) -> None:
    """The newest checkpoint is passed over for the one before; a copy in its place is taken again."""
    for step in (1, 2):
        save(tmp_path / "checkpoints", TrainingState(step=step), trained(step), keep=2)
    older, newest = tmp_path / "checkpoints" / "step-1", tmp_path / "checkpoints" / "step-2"
    shutil.copytree(newest, tmp_path / "copy")
    for name in FILES:
        for way, damage_file in WAYS.items():
            damage_file(newest / name)
            found, damaged = newest_valid(newest.parent)
            assert (found, [*damaged]) == (older, [newest]), (name, way)
            shutil.rmtree(newest)
            shutil.copytree(tmp_path / "copy", newest)
            assert newest_valid(newest.parent) == (newest, {})


@pytest.mark.parametrize("name", FILES)
def test_the_resume_says_why_and_ends_as_if_nothing_had_been(
    name: str, project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what is kept afterwards is intact: the newest, and the one before it."""
    path = project.config(
        "text-classification", train={"max_steps": 6, "epochs": 3, "eval_every": 2, "keep_checkpoints": 2}
    )
    project.train(path)
    whole = left_by(Path("runs/config"), EARLIER)
    shutil.rmtree("runs/config")
    with monkeypatch.context() as patched:
        stop_after(5, patched)
        assert not training.train(load_config(path), console=QUIET)
    damaged = Path("runs/config/checkpoints/step-5")
    flip(damaged / name)
    assert training.train(load_config(path), resume=True)
    said = " ".join(capsys.readouterr().out.split())
    assert f"{damaged} is passed over: " in said
    assert "resuming from runs/config/checkpoints/step-4" in said
    assert left_by(Path("runs/config"), EARLIER) == whole
    assert {folder.name for folder in damaged.parent.iterdir()} == {"step-4", "step-6"}


def claim_and_die() -> int:
    with RunFolder(Path("runs/config")).claimed():
        os.kill(os.getpid(), signal.SIGKILL)
    return 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes; this system has no fork")
def test_the_lock_of_a_dead_process_holds_nobody_up(project: Project) -> None:
    """The system releases it; its file stays, and says nothing."""
    assert wait(start(claim_and_die, project.folder, project.folder)) == -signal.SIGKILL
    assert Path("runs/.config.lock").exists()
    project.train(project.config("text-classification", train={"max_steps": 1}))
