"""Runs that commands find: latest, wherever configs write, and the newest that was interrupted."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import FILES, Project, needs, stop_after

from finetune.cli import main
from finetune.run.find import find_run, run_places

TASK = "text-classification"
SHORT = {"epochs": 3, "batch_size": 4, "device": "cpu"}


def older(run: str, hours: int) -> None:
    """Let all of a run be written some hours ago."""
    for path in Path(run).rglob("*"):
        os.utime(path, (time.time() - 3600 * hours,) * 2)


@pytest.fixture
def interrupted(project: Project, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Stop a training after its second step, and return its config."""

    def train(name: str = "config", **sections: dict[str, object]) -> Path:
        path = project.config(TASK, name=name, train=SHORT, **sections)
        with monkeypatch.context() as patched:
            stop_after(2, patched)
            assert main(["train", str(path)]) == 130
        return path

    return train


def test_runs_are_looked_for_where_configs_write(project: Project) -> None:
    for name, text in (
        ("a", "run: {dir: out/a}"),
        ("b", "run: {dir: ./runs}"),
        ("c", "run: {name: x}"),
        ("d", "task: ["),
        ("e", "run: null"),
        ("f", "run: {dir: out/a}"),
    ):
        project.write(f"configs/{name}.yaml", text)
    assert run_places() == [Path("runs"), Path("out/a")]


def test_latest_is_the_run_of_the_last_step_that_has_a_model(
    project: Project, finished: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    finished(TASK)
    older("runs/config", 2)
    project.write("configs/elsewhere.yaml", yaml.safe_dump({"run": {"dir": "out"}}))
    Path("runs/config").rename("runs/older")
    finished(TASK)
    older("runs/config", 1)
    Path("out").mkdir()
    Path("runs/config").rename("out/newer")
    capsys.readouterr()
    assert main(["evaluate", "latest"]) == 0
    assert capsys.readouterr().out.startswith("latest: out/newer\n")
    os.utime("runs/older/metrics.jsonl")  # as a resumed training does
    assert main(["predict", "latest", FILES[TASK][1]]) == 0
    assert capsys.readouterr().out.startswith("latest: runs/older\n")

    Path("runs/begun").mkdir()
    Path("runs/begun/config.json").write_text("{}")
    assert main(["predict", "latest", "--text", "a fine day"]) == 0
    captured = capsys.readouterr()
    assert captured.err == "latest: runs/older (runs/begun is newer, but has no model yet)\n"
    assert captured.out.startswith('{"prediction"')
    assert find_run("latest").path == Path("runs/older")


@needs("continual")
def test_latest_may_be_a_run_with_stages(project: Project) -> None:
    data = {"train": FILES[TASK][0], "validation": FILES[TASK][1]}
    path = project.config(TASK, train={"max_steps": 1})
    config = yaml.safe_load(path.read_text())
    del config["data"]
    project.write("config.yaml", yaml.safe_dump({**config, "stages": [{"name": n, "data": data} for n in "ab"]}))
    assert main(["train", "config.yaml"]) == 0
    assert find_run("latest").path == Path("runs/config")
    assert main(["train", "config.yaml", "--resume", "auto"]) == 0
    assert [path.name for path in Path("runs").glob("[!.]*")] == ["config"], "it was not begun again"


def test_latest_resumes_the_newest_interrupted_run(
    interrupted: Callable[..., Path], finished: Callable[[str], None], refused: Callable[..., str]
) -> None:
    assert "no run was interrupted: start one with" in refused("train", "latest", "--resume")
    interrupted("first")
    older("runs/first", 1)
    interrupted("second", run={"dir": "runs"})
    finished(TASK)
    assert "names a run, not a config: add --resume" in refused("train", "latest")
    assert "names a run, not a config: add --resume" in refused("train", "runs/first")
    for name in ("second", "first"):
        assert not Path(f"runs/{name}/report/index.html").is_file()
        assert main(["train", "latest", "--resume", "train.log_every=1"]) == 0
        assert Path(f"runs/{name}/checkpoints/step-9").is_dir()
    assert "no run was interrupted" in refused("train", "latest", "--resume")
    assert "optim.lr was 0.001" in refused("train", "runs/first", "--resume", "optim.lr=0.5")


def test_a_run_that_stopped_early_was_not_interrupted(project: Project, refused: Callable[..., str]) -> None:
    project.train(project.config(TASK, train={"epochs": 99, "patience": 1, "batch_size": 4}, optim={"lr": 1e-9}))
    assert "no run was interrupted" in refused("train", "latest", "--resume")


def test_starting_again_names_the_way_back(
    interrupted: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = interrupted()
    assert "to continue: python -m finetune train runs/config --resume" in capsys.readouterr().out
    assert main(["train", str(path), "train.max_steps=1"]) == 0
    line = "the earlier run was interrupted; to continue it: python -m finetune train runs/config-1 --resume"
    assert f"runs/config: {line}" in capsys.readouterr().out
    assert main(["train", str(path), "train.max_steps=1"]) == 0
    assert "runs/config: the earlier run is now runs/config-2" in capsys.readouterr().out
    assert main(["train", "runs/config-1", "--resume"]) == 0
    assert Path("runs/config-1/checkpoints/step-9").is_dir()


def test_resume_auto_continues_or_starts(
    interrupted: Callable[..., Path], capsys: pytest.CaptureFixture[str], refused: Callable[..., str]
) -> None:
    path = interrupted()
    for arguments in (["--resume", "auto", "train.log_every=5"], ["auto", "--resume"]):
        assert main(["train", str(path), *arguments]) == 0
        assert "resuming from runs/config/checkpoints" in capsys.readouterr().out
    assert main(["train", str(path), "--resume", "auto", "run.name=other"]) == 0
    assert "resuming" not in capsys.readouterr().out
    assert Path("runs/other/checkpoints/step-9").is_dir()
    assert "auto" in refused("train", path, "auto"), "without --resume it is an argument like any other"


def test_a_folder_for_runs_that_cannot_be_made(project: Project, refused: Callable[..., str]) -> None:
    project.write("out", "a file")
    assert "run.dir: the folder out/runs cannot be made" in refused("train", project.config(TASK), "run.dir=out/runs")
