"""Trackers: every point is sent once, whatever stops in between; each library in its local mode; live trainings."""

import json
import shutil
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import ROOT, Project

from finetune.cli import main
from finetune.run.folder import RunFolder
from finetune.track import beside, follow
from finetune.track.tracker import About, Point

RUN = "runs/config"


class Recorder:
    """A tracker that keeps what it gets, over several starts; `failing` of its next requests fail."""

    runs: dict[str, list[Point]]
    summaries: list[dict[str, float]]
    failing: int

    def __init__(self, about: About, known: str | None) -> None:
        self.id = known or f"run-{len(self.runs)}"
        Recorder.about = about
        self.points = self.runs.setdefault(self.id, [])

    about: About

    def log(self, points: Sequence[Point]) -> None:
        if Recorder.failing:
            Recorder.failing -= 1
            raise ConnectionError("http://user:secret@host is\nunreachable")
        self.points.extend(points)

    def finish(self, summary: dict[str, float]) -> None:
        self.summaries.append(summary)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> type[Recorder]:
    """The recorder, in place of Trackio."""
    Recorder.runs, Recorder.summaries, Recorder.failing = {}, [], 0
    module = ModuleType("trackio")
    module.Tracker = Recorder  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "finetune.track.trackio", module)
    monkeypatch.setattr(follow, "find_spec", lambda name: module)
    monkeypatch.setattr(follow, "POLL", 0.0)
    return Recorder


@pytest.fixture
def run(finished: Any) -> RunFolder:
    finished("text-classification")
    return RunFolder(Path(RUN))


def records(run: RunFolder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.metrics_file.read_text("utf-8").splitlines()]


def test_every_metric_goes_out_once(run: RunFolder, recorder: type[Recorder]) -> None:
    assert main(["track", RUN, "--to", "trackio"]) == 0
    assert main(["track", RUN, "--to", "trackio"]) == 0
    (points,) = recorder.runs.values()
    expected = records(run)
    assert [point.step for point in points] == [record["step"] for record in expected]
    for point, record in zip(points, expected, strict=True):
        assert point.values[f"{record['kind']}/loss"] == record["loss"]
    assert "validation/accuracy" in points[-1].values
    first, second = recorder.summaries
    assert first["evaluation/validation/accuracy"] == run.evaluations()[0]["metrics"]["accuracy"]
    assert second == {}, "an evaluation that has not changed is not sent again"


def test_settings_and_tags(run: RunFolder, recorder: type[Recorder]) -> None:
    main(["track", RUN, "--to", "trackio"])
    about = recorder.about
    assert about.settings["optim.name"] == run.config().optim.name
    assert about.tags["task"] == "text-classification"
    assert (about.tags["model"], about.name) == ("tiny:bert", run.path.name)
    assert about.started > 1.6e12


def test_a_failure_is_one_line_and_the_next_start_continues(
    run: RunFolder, recorder: type[Recorder], capsys: pytest.CaptureFixture[str]
) -> None:
    recorder.failing = 1
    assert main(["track", RUN, "--to", "trackio"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "http://host is unreachable" in said
    assert "secret" not in said
    assert main(["track", RUN, "--to", "trackio"]) == 0
    (points,) = recorder.runs.values()
    assert [point.step for point in points] == [record["step"] for record in records(run)]


def test_a_resumed_run_stays_one_run(run: RunFolder, recorder: type[Recorder]) -> None:
    """Its last steps are repeated: the tracker has them, and gets only those after them."""
    lines = run.metrics_file.read_text("utf-8").splitlines(keepends=True)
    main(["track", RUN, "--to", "trackio"])
    last = records(run)[-1]["step"]
    more = {"kind": "train", "step": last + 1, "loss": 0.5, "seconds": 1e6, "epoch": 9.0}
    run.metrics_file.write_text("".join([*lines[:-1], lines[-1], json.dumps(more) + "\n"]), "utf-8")
    main(["track", RUN, "--to", "trackio"])
    (points,) = recorder.runs.values()
    assert [point.step for point in points] == [record["step"] for record in records(run)]
    assert points[-1] == Point(last + 1, 1e6, {"train/loss": 0.5})


def test_live_it_waits_until_the_training_has_ended(
    run: RunFolder, recorder: type[Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = run.metrics_file.read_text("utf-8").splitlines(keepends=True)
    run.metrics_file.write_text("", "utf-8")
    left = iter(lines)

    def add(seconds: float) -> None:
        with run.metrics_file.open("a", encoding="utf-8") as file:
            file.write(next(left))

    monkeypatch.setattr(follow.time, "sleep", add)
    assert main(["track", RUN, "--to", "trackio", "--follow"]) == 0
    (points,) = recorder.runs.values()
    trained = [record["step"] for record in records(run) if record["kind"] == "train"]
    assert trained[-1] == run.environment()["total_steps"]
    assert [point.step for point in points if "train/loss" in point.values] == trained


def test_live_it_ends_when_a_training_was_killed(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    run.metrics_file.write_text("", "utf-8")
    monkeypatch.setattr(follow, "QUIET", -1.0)
    has_ended = follow.training_has_ended(run)
    with run.claimed():
        assert not has_ended()
    assert has_ended()


def test_wrong_input(run: RunFolder, refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["track", RUN, "--to", "tensorboard"]) == 2
    monkeypatch.setattr(follow, "find_spec", lambda name: None)
    assert "pip install mlflow-skinny" in refused("track", RUN, "--to", "mlflow")
    monkeypatch.setattr(follow, "find_spec", lambda name: True)
    run.write("tracker-wandb.json", "[]")
    assert "tracker-wandb.json" in refused("track", RUN, "--to", "wandb")
    run.metrics_file.unlink()
    assert "has no metrics.jsonl" in refused("track", RUN, "--to", "trackio")


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Each library writes below the folder of the test, and asks no server."""
    for name, value in {
        "MLFLOW_TRACKING_URI": (tmp_path / "mlruns").as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "WANDB_MODE": "offline",
        "TRACKIO_DIR": str(tmp_path / "trackio"),
        "SWANLAB_MODE": "local",
        "PYTHONPATH": str(ROOT / "src"),
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def needs_library(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(name) is None, reason=f"needs {follow.PACKAGES[name]}")


@needs_library("mlflow")
def test_mlflow(run: RunFolder, local: Path) -> None:
    for _ in range(2):
        assert main(["track", RUN, "--to", "mlflow"]) == 0
    from mlflow import MlflowClient

    client = MlflowClient()
    (experiment,) = [each for each in client.search_experiments() if each.name == Path.cwd().name]
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.status, found.info.run_name) == ("FINISHED", run.path.name)
    assert (found.data.params["optim.name"], found.data.tags["task"]) == ("adamw", "text-classification")
    expected = [(record["step"], record["loss"]) for record in records(run) if record["kind"] == "train"]
    history = client.get_metric_history(found.info.run_id, "train/loss")
    assert [(metric.step, metric.value) for metric in history] == expected
    assert found.data.metrics["evaluation/validation/accuracy"] == run.evaluations()[0]["metrics"]["accuracy"]


@needs_library("mlflow")
def test_a_server_that_is_not_there(run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert main(["track", RUN, "--to", "mlflow"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("failed: mlflow: ")


@needs_library("wandb")
def test_wandb(run: RunFolder, local: Path) -> None:
    for _ in range(2):
        assert main(["track", RUN, "--to", "wandb"]) == 0
    first, second = sorted(run.path.glob("wandb/offline-run-*/*.wandb"))
    assert first.name == second.name, "one run"


@needs_library("trackio")
def test_trackio(run: RunFolder, local: Path) -> None:
    for _ in range(2):
        assert main(["track", RUN, "--to", "trackio"]) == 0
    (database,) = (local / "trackio").glob("*.db")
    rows = sqlite3.connect(database).execute("select step, metrics from metrics order by step").fetchall()
    losses = [(step, json.loads(text)["train/loss"]) for step, text in rows if "train/loss" in text]
    assert losses == [(record["step"], record["loss"]) for record in records(run) if record["kind"] == "train"]


@needs_library("swanlab")
def test_swanlab(run: RunFolder, local: Path) -> None:
    for _ in range(2):
        assert main(["track", RUN, "--to", "swanlab"]) == 0
    assert list(run.path.glob("swanlab/**/*"))


STUB = """
import json
from pathlib import Path
class Tracker:
    def __init__(self, about, known):
        {start}
        self.id, self.log_file = "one", Path("sent.jsonl")
    def log(self, points):
        with self.log_file.open("a") as file:
            file.writelines(json.dumps([point.step, point.values]) + "\\n" for point in points)
    def finish(self, summary):
        with self.log_file.open("a") as file:
            file.write(json.dumps(["summary", summary]) + "\\n")
"""


def with_stub(project: Project, monkeypatch: pytest.MonkeyPatch, start: str) -> None:
    """A copy of the package whose module for Trackio writes a file; the training itself runs in this process."""
    shutil.copytree(
        ROOT / "src" / "finetune", project.folder / "src" / "finetune", ignore=shutil.ignore_patterns("__py*")
    )
    project.write("src/finetune/track/trackio.py", STUB.format(start=start))
    project.write("src/trackio.py", "")
    monkeypatch.setenv("PYTHONPATH", str(project.folder / "src"))
    monkeypatch.setattr(beside, "require_tracker", lambda name: None)


def test_a_training_with_a_tracker(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with_stub(project, monkeypatch, "pass")
    config = str(project.config("text-classification"))
    assert main(["train", config, "run.track=trackio", "train.max_steps=2", "train.log_every=1"]) == 0
    sent = [json.loads(line) for line in (project.folder / "sent.jsonl").read_text("utf-8").splitlines()]
    assert [step for step, values in sent if "train/loss" in values] == [1, 2]
    assert [step for step, values in sent if "validation/accuracy" in values] == [2]
    assert "evaluation/validation/accuracy" in sent[-1][1]


def test_a_tracker_that_fails_is_one_line(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_stub(project, monkeypatch, "raise ConnectionError('no server')")
    config = str(project.config("text-classification"))
    assert main(["train", config, "run.track=trackio", "train.max_steps=1"]) == 0
    printed = capsys.readouterr()
    assert "trackio: ConnectionError: no server" in " ".join((printed.out + printed.err).split())
