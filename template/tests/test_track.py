"""Trackers: every point is sent once, whatever stops in between; each library in its local mode; live trainings."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import ModuleType, SimpleNamespace
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
    config = json.loads(run.config_file.read_text("utf-8"))
    config["data"]["test"] = "https://user:secret@host/test.jsonl"
    run.write("config.json", json.dumps(config))
    main(["track", RUN, "--to", "trackio"])
    about = recorder.about
    assert about.settings["optim.name"] == run.config().optim.name
    assert about.settings["data.test"] == "https://host/test.jsonl"
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

    # Of this module only: the thread of time limits sleeps as well.
    monkeypatch.setattr(follow, "time", SimpleNamespace(sleep=add, monotonic=time.monotonic))
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
    assert "pip install -c constraints.txt mlflow-skinny" in refused("track", RUN, "--to", "mlflow")
    monkeypatch.setattr(follow, "find_spec", lambda name: True)
    run.write("tracker-wandb.json", "[]")
    assert "tracker-wandb.json" in refused("track", RUN, "--to", "wandb")
    run.metrics_file.unlink()
    assert "has no metrics.jsonl" in refused("track", RUN, "--to", "trackio")


Sent = tuple[set[str], list[tuple[int, str, float]], dict[str, float], str]
"""What a library keeps: its runs, points as (step, name, value), evaluations, and the settings as text."""


def sent_to_mlflow(run: RunFolder) -> Sent:
    from mlflow import MlflowClient

    client = MlflowClient()
    (experiment,) = [each for each in client.search_experiments() if each.name == Path.cwd().name]
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.status, found.info.run_name) == ("FINISHED", run.path.name)
    assert found.data.tags["task"] == "text-classification"
    points = [(one.step, name, one.value) for name in found.data.metrics
              for one in client.get_metric_history(found.info.run_id, name)]  # fmt: skip
    return {found.info.run_id}, *without_evaluations(points), str(found.data.params)


def sent_to_wandb(run: RunFolder) -> Sent:
    """Read the files of two starts: a header of 7 bytes, then records, each after checksum, length and type."""
    from wandb.proto.wandb_internal_pb2 import Record

    ids, points, evaluations, settings = set(), [], {}, ""
    for path in sorted(run.path.glob("wandb/offline-run-*/*.wandb")):
        content, at = path.read_bytes(), 7
        while at < len(content):
            end = at + 7 + int.from_bytes(content[at + 4 : at + 6], "little")
            record, at = Record.FromString(content[at + 7 : end]), end
            if record.HasField("run"):
                ids.add(record.run.run_id)
                settings = str(record.run.config)
            values = {"/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            points += [(values["step"], name, value) for name, value in values.items() if "/" in name]
            for item in record.summary.update:
                if item.key.startswith("evaluation/"):
                    evaluations[item.key] = json.loads(item.value_json)
    return ids, points, evaluations, settings


def sent_to_trackio(run: RunFolder) -> Sent:
    (path,) = Path("trackio").glob("*.db")
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("select run_name, step, metrics from metrics").fetchall()
        settings = str(database.execute("select config from configs").fetchall())
    points = [(step, name, value) for _, step, text in rows for name, value in json.loads(text).items()]
    return {row[0] for row in rows}, *without_evaluations(points), settings


def sent_to_swanlab(run: RunFolder) -> Sent:
    from swanlab.proto.swanlab.record.v1.record_pb2 import Record
    from swanlab.sdk.internal.core_python.store import DataStoreReader

    ids, points, settings = set(), [], ""
    for path in sorted(run.path.glob("swanlab/*/*.swanlab")):
        ids.add(path.stem)
        settings = (path.parent / "files" / "config.yaml").read_text("utf-8")
        reader = DataStoreReader()
        reader.open(path)
        scalars = [record.scalar for record in map(Record.FromString, reader) if record.HasField("scalar")]
        points += [(one.step, one.key, one.value.number) for one in scalars]
        reader.close()
    return ids, *without_evaluations(points), settings


def without_evaluations(
    points: list[tuple[int, str, float]],
) -> tuple[list[tuple[int, str, float]], dict[str, float]]:
    """Points, and the evaluations of a library that keeps them as points."""
    train = [point for point in points if not point[1].startswith("evaluation/")]
    return train, {name: value for _, name, value in points if name.startswith("evaluation/")}


@pytest.mark.parametrize("name", follow.PACKAGES)
def test_each_library_in_its_local_mode(
    run: RunFolder, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two starts, and a record of a resumed training in between: one run, and nothing twice."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("SWANLAB_MODE", "offline")
    pytest.importorskip(name, reason=f"pip install {follow.PACKAGES[name]}")
    assert main(["track", RUN, "--to", name]) == 0
    with run.metrics_file.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"kind": "train", "step": 7, "loss": 0.25, "seconds": 9.0, "epoch": 3.0}) + "\n")
    assert main(["track", RUN, "--to", name]) == 0
    ids, points, evaluations, settings = globals()[f"sent_to_{name}"](run)
    assert len(ids) == 1
    expected = [(record["step"], f"{record['kind']}/{key}", value)
                for record in records(run) for key, value in follow.numbers(record)]  # fmt: skip
    assert sorted(points) == [(step, key, pytest.approx(value, rel=1e-6)) for step, key, value in sorted(expected)]
    assert evaluations["evaluation/validation/accuracy"] == run.evaluations()[0]["metrics"]["accuracy"]
    assert "optim.lr" in settings


@pytest.mark.parametrize(
    ("name", "variables"),
    [
        ("mlflow", {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}),
        ("wandb", {}),
        ("swanlab", {"SWANLAB_ROOT": "swanlab-settings"}),
    ],
)
def test_without_a_server_or_a_key_it_is_one_sentence(
    run: RunFolder, name: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in a terminal it asks for nothing."""
    pytest.importorskip(name, reason=f"pip install {follow.PACKAGES[name]}")
    for key in ("WANDB_MODE", "WANDB_API_KEY", "SWANLAB_MODE", "SWANLAB_API_KEY"):
        monkeypatch.delenv(key, raising=False)
    environment = os.environ | variables | {"PYTHONPATH": str(ROOT / "src"), "HOME": str(Path.cwd())}
    command = [sys.executable, "-m", "finetune", "track", RUN, "--to", name]
    code, said = in_a_terminal(command, environment)
    assert code == 1
    assert said.count(f"failed: {name}: ") == 1
    assert "Traceback" not in said


def in_a_terminal(command: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """Exit code and output of a program whose standard streams are a terminal."""
    pty = pytest.importorskip("pty", reason="a terminal of Unix")
    ours, theirs = pty.openpty()
    streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    with subprocess.Popen(command, env=environment | {"TERM": "dumb"}, **streams) as process:
        os.close(theirs)
        said = b""
        with suppress(OSError):  # the terminal has ended
            while part := os.read(ours, 4096):
                said += part
        os.close(ours)
        return process.wait(), said.decode()


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
