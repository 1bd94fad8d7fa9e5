"""`finetune monitor`: a replayed stream with a planted burst, restarts, tasks, mistakes."""

import errno
import io
import itertools
import json
import multiprocessing
import os
import random
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import FILES, Project
from rich.console import Console

from finetune.cli import main
from finetune.data.rows import Row
from finetune.errors import UserError
from finetune.monitor import command, sources
from finetune.monitor.alarms import Alarms, parse_rule
from finetune.monitor.display import Display
from finetune.monitor.monitor import parse_time
from finetune.monitor.outcomes import Outcomes
from finetune.monitor.windows import Entry, Span, Windows
from finetune.predict import Predictor

FOLDER = Path("runs/config/monitor/stream")
STREAM = ("monitor", "runs/config", "--input", "stream.jsonl", "--once")


def read(name: str, folder: Path = FOLDER) -> list[dict[str, Any]]:
    path = folder / name
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def write_stream(rows: Sequence[dict[str, Any]], name: str = "stream.jsonl") -> Path:
    path = Path(name)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    os.utime(path, (1e9, 1e9))
    return path


def record_of(row: Row) -> dict[str, Any]:
    """A prediction that the text itself names."""
    label = "bad" if "bad" in row.values["text"] else "good"
    probability = 0.6 if "perhaps" in row.values["text"] else 0.9
    other = {"good": "bad", "bad": "good"}[label]
    return {
        "prediction": label,
        "probability": probability,
        "probabilities": {label: probability, other: 1 - probability},
    }


@pytest.fixture
def watched(finished: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose predictions are those that the texts name, so that a test knows the right answers."""
    finished("text-classification")
    monkeypatch.setattr(Predictor, "predict", lambda self, rows: [record_of(row) for row in rows])


def burst(before: int = 600, during: int = 150, after: int = 600) -> list[dict[str, Any]]:
    """A stream in which 20 % are bad, and from text `before` on, for a while, 70 %; one text a second."""
    rng = random.Random(1)
    rates = [0.2] * before + [0.7] * during + [0.2] * after
    return [
        {"id": n, "text": "bad" if rng.random() < rate else "good", "at": 1_700_000_000 + n, "topic": "xy"[n % 2]}
        for n, rate in enumerate(rates)
    ]


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("window", [("--window", "100"), ("--window", "100s", "--time", "at")])
def test_a_planted_burst_is_found_in_time_and_once(window: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    rows = burst()
    write_stream(rows)
    program = Path("program.py")
    program.write_text("import sys; open('calls', 'a').write(sys.stdin.read() + '\\n')")
    rules = ("--alarm", "bad > 0.4", "--alarm", "bad jumps 5")
    assert (
        main([*STREAM, *window, *rules, "--clear", "0.8", "--on-alarm", shlex.join([sys.executable, "program.py"])])
        == 0
    )
    events = read("alarms.jsonl")
    for rule, latest in (("bad > 0.4", 660), ("bad jumps 5", 660)):
        raised, cleared = (event for event in events if event["alarm"] == rule)
        assert (raised["state"], cleared["state"]) == ("raised", "cleared")
        assert 600 < raised["number"] <= latest, "found within 60 texts of its beginning"
        assert 750 < cleared["number"] <= 850, "over when the burst has left the window"
        assert raised["place"] == f"stream.jsonl:{raised['number']}"
        assert raised["text"] in capfd.readouterr().err or rule != "bad > 0.4"
    calls = [json.loads(line) for line in Path("calls").read_text().splitlines()]
    assert [call["alarm"] for call in calls] == [event["alarm"] for event in events if event["state"] == "raised"]
    predictions = read("predictions.jsonl")
    assert predictions == [{**row, **record_of(Row("", row, row))} for row in rows]
    assert not read("skipped.jsonl")
    assert (FOLDER / "trend.svg").is_file()


@pytest.mark.usefixtures("watched")
def test_batches_change_nothing() -> None:
    write_stream(burst(200, 60, 100))
    left = []
    for size in ("1", "7", "256"):
        assert (
            main(
                [
                    *STREAM,
                    "--window",
                    "50",
                    "--time",
                    "at",
                    "--alarm",
                    "*: bad > 0.5",
                    "--min-count",
                    "9",
                    "--batch-size",
                    size,
                ]
            )
            == 0
        )
        left.append(
            {name: (FOLDER / name).read_bytes() for name in ("predictions.jsonl", "alarms.jsonl", "trend.jsonl")}
        )
        shutil.rmtree(FOLDER)
    assert left[0] == left[1] == left[2]
    assert left[0]["alarms.jsonl"]


def run_until_killed(kill_at: int) -> None:
    """Monitor, and be killed just before the operation on files `kill_at` in the output folder."""
    operations = itertools.count(1)

    def on_event(event: str, arguments: tuple[Any, ...]) -> None:
        touched = event in ("open", "os.rename", "os.truncate") and "monitor/stream" in str(arguments[0])
        if touched and next(operations) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(on_event)
    options = ("--window", "20", "--alarm", "bad > 0.4", "--min-count", "5", "--batch-size", "8", "--time", "at")
    os._exit(main([*STREAM, *options]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes; this system has no fork")
@pytest.mark.usefixtures("watched")
def test_a_kill_repeats_no_line_and_loses_none() -> None:
    """The proof of the same name kills everywhere, with the predictions of a model."""
    write_stream([*burst(20, 20, 20), {"text": 3, "at": 1}, {"text": "bad", "at": 1}])
    context = multiprocessing.get_context("fork")

    def left_by(kills: Sequence[int]) -> dict[str, bytes]:
        shutil.rmtree(FOLDER, ignore_errors=True)
        for kill_at, code in ((10**9, 0),) if not kills else [*((n, -signal.SIGKILL) for n in kills), (10**9, 0)]:
            process = context.Process(target=run_until_killed, args=(kill_at,))
            process.start()
            process.join()
            assert process.exitcode == code
        names = ("predictions.jsonl", "alarms.jsonl", "skipped.jsonl", "trend.jsonl")
        return {name: (FOLDER / name).read_bytes() for name in names}

    whole = left_by([])
    assert whole["predictions.jsonl"].count(b"\n") == 61
    assert whole["alarms.jsonl"]
    assert whole["skipped.jsonl"].count(b"\n") == 1
    assert left_by([7, 9, 12, 8]) == whole


@pytest.mark.usefixtures("watched")
def test_windows_and_alarms_survive_a_restart() -> None:
    """Half of the stream is there at first; the alarm that is on is not raised again."""
    rows = burst(100, 60, 100)
    options = ("--window", "50s", "--time", "at", "--alarm", "bad > 0.45", "--clear", "0.7", "--reference", "2")
    write_stream(rows)
    assert main([*STREAM, *options]) == 0
    whole = {name: read(name) for name in ("alarms.jsonl", "trend.jsonl")}
    shutil.rmtree(FOLDER)
    for end in (80, 140, 141, 200, 260):
        write_stream(rows[:end])
        assert main([*STREAM, *options]) == 0
    assert {name: read(name) for name in whole} == whole
    assert [event["state"] for event in whole["alarms.jsonl"]] == ["raised", "cleared"]


@pytest.mark.usefixtures("watched")
def test_what_was_not_delivered_is_delivered_at_the_next_start(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_stream([{"text": "bad"}] * 80)
    monkeypatch.setattr(command, "PATIENCE", {True: 0.0, False: 0.0})
    options = ("--window", "40", "--alarm", "bad > 0.5", "--batch-size", "40", "--on-alarm")
    assert main([*STREAM, *options, "sleep 5"]) == 0
    assert "1 alarm not delivered yet: the next start of this command does it" in capfd.readouterr().err
    monkeypatch.setattr(command, "PATIENCE", {True: 10.0, False: 10.0})
    assert main([*STREAM, *options, "touch delivered"]) == 0
    assert Path("delivered").exists()
    Path("delivered").unlink()
    assert main([*STREAM, *options, "touch delivered"]) == 0
    assert not Path("delivered").exists(), "once"


@pytest.mark.usefixtures("watched")
def test_a_file_is_followed_until_sigterm() -> None:
    path = write_stream([{"text": "good"}] * 3)

    def grow() -> None:
        for _ in range(200):
            time.sleep(0.02)
            if len(read("predictions.jsonl")) == 3:
                break
        with path.open("a") as file:
            file.write('{"text": "bad"}\n{"text": "ba')
        for _ in range(200):
            time.sleep(0.02)
            if len(read("predictions.jsonl")) == 4:
                break
        os.kill(os.getpid(), signal.SIGTERM)

    writer = threading.Thread(target=grow)
    writer.start()
    assert main([*STREAM[:4]]) == 0
    writer.join()
    rows = read("predictions.jsonl")
    assert [row["prediction"] for row in rows] == ["good", "good", "good", "bad"]
    assert all(parse_time(row["monitored_at"], "") <= time.time() for row in rows)
    path.write_text(path.read_text() + 'd"}\n')
    os.utime(path, (1e9, 1e9))
    assert main([*STREAM]) == 0
    assert [row["text"] for row in read("predictions.jsonl")] == ["good", "good", "good", "bad", "bad"]


@pytest.mark.usefixtures("watched")
def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        reader, writer = os.pipe()
        os.write(writer, b'id,text\n1,"good,\nreally"\n2,bad')
        os.close(writer)
        with open(reader) as stdin, monkeypatch.context() as patched:
            patched.setattr(sys, "stdin", stdin)
            assert main(["monitor", "runs/config", "--input", "-", "--format", "csv", "--window", "10"]) == 0
    rows = read("predictions.jsonl", Path("runs/config/monitor/stdin"))
    assert [(row["id"], row["text"], row["prediction"]) for row in rows] == [
        ("1", "good,\nreally", "good"), ("2", "bad", "bad")] * 2  # fmt: skip


@pytest.mark.usefixtures("watched")
def test_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("inbox").mkdir()
    write_stream([{"text": "good"}, {"text": "bad"}], "inbox/2.jsonl")
    Path("inbox/1.txt").write_text("bad\n\ngood")
    monkeypatch.setattr(sources, "SETTLED", 0.0)
    arguments = ["monitor", "runs/config", "--input", "inbox", "--once", "--window", "10", "--output", "out"]
    assert main(arguments) == 0
    Path("inbox/0.csv").write_text("text\ngood again\n")
    assert main(arguments) == 0
    assert [row["text"] for row in read("predictions.jsonl", Path("out"))] == [
        "bad",
        "good",
        "good",
        "bad",
        "good again",
    ]


@pytest.mark.usefixtures("watched")
def test_lines_that_cannot_be_read_are_named_and_counted(capfd: pytest.CaptureFixture[str]) -> None:
    path = write_stream([{"text": "good", "at": "2026-03-01T10:00:00+08:00", "area": 7}])
    wrong = [
        ('{"text": "bad"', "this is not JSON (Expecting ',' delimiter at column 15): correct the line"),
        (
            '{"at": 1}',
            "no value in column 'text' (found: at): fill it in, or add columns: {text: at} under data in the config",
        ),
        ('{"text": 5, "at": 1, "area": ""}', "text is 5: write it as a string"),
        ('{"text": "good", "area": ""}', "no column 'at' (found: text, area): add it, or name another one"),
        ('{"text": "good", "at": "soon", "area": ""}', "at is 'soon': write ISO 8601 or seconds since 1970"),
        ('{"text": "good", "at": null, "area": ""}', "at is None: write ISO 8601 or seconds since 1970"),
        (
            '{"text": "good", "at": 1700000000000, "area": ""}',
            "at is 1700000000000, which lies in the future: write it in seconds, not in milliseconds",
        ),
        ('{"text": "good", "at": 1}', "no column 'area' (found: text, at): add it, or name another one"),
        ('{"text": "good", "text_pair": "x", "at": 1, "area": ""}', "column 'text_pair' has a value, but"),
    ]
    path.write_text(
        path.read_text() + "".join(f"{line}\n" for line, _ in wrong) + '{"text":"bad","at":9,"area":null}\n'
    )
    os.utime(path, (1e9, 1e9))
    assert main([*STREAM, "--time", "at", "--topic", "area"]) == 0
    skipped = read("skipped.jsonl")
    assert [item["place"] for item in skipped] == [f"stream.jsonl:{number}" for number in range(2, len(wrong) + 2)]
    for item, (line, reason) in zip(skipped, wrong, strict=True):
        assert item["reason"].startswith(reason)
        assert item["content"] == line
    assert len(read("predictions.jsonl")) == 2
    printed = capfd.readouterr().err
    assert printed.count("stream.jsonl:2: this is not JSON") == 1
    assert f"{len(wrong)} skipped" in printed
    assert str(FOLDER / "skipped.jsonl") in printed


@pytest.mark.usefixtures("watched")
def test_predictions_below_the_confidence_are_unsure() -> None:
    write_stream([{"text": "bad"}] * 3 + [{"text": "perhaps bad"}] * 7)
    assert main([*STREAM, "--window", "10", "--min-confidence", "0.7", "--alarm", "unsure > 60%"]) == 0
    [event] = read("alarms.jsonl")
    assert (event["label"], event["count"], event["share"]) == ("unsure", 7, 0.7)
    assert [row["prediction"] for row in read("predictions.jsonl")] == ["bad"] * 10, "the prediction itself stays"


INPUTS: dict[str, list[dict[str, Any]]] = {
    "text-classification": [{"text": "a fine day"}],
    "multi-label-classification": [{"text": "the invoice is wrong"}],
    "regression": [{"text": "so so"}, {"text": "good"}],
    "token-classification": [{"text": "Ada lives here"}, {"tokens": ["Ada", "lives", "here"]}],
}


@pytest.mark.parametrize("task", INPUTS)
def test_tasks(task: str, finished: Callable[[str], None]) -> None:
    """The predictions are those of `predict`."""
    finished(task)
    rows = INPUTS[task]
    write_stream(rows)
    assert main([*STREAM, "--window", "4"]) == 0
    assert main(["predict", "runs/config", "stream.jsonl"]) == 0
    assert read("predictions.jsonl") == read("stream.jsonl", Path("runs/config/predictions"))
    if task == "regression":
        assert main([*STREAM, "--output", "other", "--window", "2", "--alarm", "mean > -100"]) == 0
        [event] = read("alarms.jsonl", Path("other"))
        values = [row["prediction"] for row in read("predictions.jsonl")]
        assert event["mean"] == pytest.approx(sum(values) / 2, abs=1e-8)


def outcomes_of(task: str, finished: Callable[[str], None], minimum: float | None = None) -> Outcomes:
    from finetune.run.find import find_run

    finished(task)
    return Outcomes(Predictor(find_run("runs/config")).task, minimum)


def test_what_a_prediction_counts_for(finished: Callable[[str], None]) -> None:
    several = outcomes_of("multi-label-classification", finished, 0.6)
    assert several.labels == ["billing", "login", "unsure"]
    shares = {"billing": 0.7, "login": 0.55}
    assert several.of({"prediction": ["billing", "login"], "probabilities": shares})[0] == ("billing",)
    assert several.of({"prediction": ["login"], "probabilities": shares})[0] == ("unsure",)
    assert several.of({"prediction": [], "probabilities": shares})[0] == ()
    entities = outcomes_of("token-classification", finished, 0.5)
    assert entities.labels == ["LOC", "ORG", "PER", "unsure"]
    tagged = {"prediction": ["B-PER", "I-PER", "O", "I-LOC", "B-LOC"], "probability": [0.9, 0.6, 0.9, 0.3, 0.8]}
    assert entities.of(tagged)[0] == ("LOC", "PER"), "each type once, if one of its entities is sure"
    spans = {"prediction": [{"label": "PER", "probability": 0.4}]}
    assert entities.of(spans)[0] == ("unsure",)
    assert entities.of({"prediction": []})[0] == ()
    numbers = outcomes_of("regression", finished)
    assert (numbers.labels, numbers.of({"prediction": 2.5})) == (["mean"], (("mean",), 2.5))
    with pytest.raises(UserError, match="--min-confidence: a regression predicts numbers"):
        outcomes_of("regression", finished, 0.5)


@pytest.mark.parametrize("task", ["ranking", "chat"])
def test_tasks_without_shares_are_refused(
    task: str, finished: Callable[[str], None], refused: Callable[..., str]
) -> None:
    finished(task)
    assert f"makes no sense for {task}" in refused("monitor", "runs/config", "--input", FILES[task][0], "--once")
    assert not Path("runs/config/monitor").exists()


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--input", "none.jsonl"), "none.jsonl: there is no such file or folder"),
        (("--input", "x.parquet"), "x.parquet: unknown format '.parquet'"),
        (("--input", "runs"), "the input lies where the monitor writes"),
        (("--window", "0"), "--window: a window of 0"),
        (("--window", "soon"), "--window: 'soon' is neither"),
        (("--interval", "5"), "--interval: '5' is not a duration"),
        (("--cooldown", "x"), "--cooldown: 'x' is not a duration"),
        (("--alarm", "worse > 0.4"), "'worse' is no label of the model: use one of bad, good"),
        (("--alarm", "good = 0.4"), "'good = 0.4' is not a rule"),
        (("--window", "10", "--min-count", "20"), "--min-count: the window has only 10 texts"),
        (("--webhook", "hooks.example/x"), "--webhook: this is no address"),
        (("--on-alarm", "'x"), "--on-alarm: ''x' is no command"),
    ],
)
def test_mistakes_are_one_sentence(options: tuple[str, ...], reason: str, refused: Callable[..., str]) -> None:
    write_stream([{"text": "good"}])
    Path("x.parquet").write_bytes(b"?")
    extra = ("--output", "runs") if "runs" in options else ()
    assert reason in refused(*STREAM, *options, *extra)
    assert not (FOLDER / "state.json").exists()


@pytest.mark.usefixtures("watched")
def test_nothing_readable_at_all_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    write_stream([{"txet": "good"}] * 3)
    assert main([*STREAM]) == 2
    assert f"error: none of 3 rows could be read: see {FOLDER / 'skipped.jsonl'}" in capfd.readouterr().err
    assert main([*STREAM]) == 0, "there is nothing new"


@pytest.mark.usefixtures("watched")
def test_a_folder_belongs_to_one_input(refused: Callable[..., str]) -> None:
    write_stream([{"text": "good"}])
    assert main([*STREAM]) == 0
    Path("other").mkdir()
    write_stream([{"text": "good"}], "other/stream.jsonl")
    sentence = refused("monitor", "runs/config", "--input", "other/stream.jsonl", "--once")
    assert "belongs to the input" in sentence
    state = FOLDER / "state.json"
    for damage in (lambda: (FOLDER / "predictions.jsonl").write_text(""), lambda: state.write_text("{"), state.unlink):
        kept = state.read_text()
        damage()
        sentence = refused(*STREAM)
        assert "delete the folder" in sentence
        state.write_text(kept)


@pytest.mark.usefixtures("watched")
def test_a_full_disk_is_one_sentence_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_stream(burst(20, 10, 10))
    fsync = os.fsync
    calls = itertools.count(1)

    def full(handle: int) -> None:
        if next(calls) == 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    options = ("--window", "20", "--batch-size", "10")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        assert main([*STREAM, *options]) == 2
    [error] = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "cannot be written (No space left on device): free some space" in error
    assert main([*STREAM, *options]) == 0
    assert [row["id"] for row in read("predictions.jsonl")] == list(range(40))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.usefixtures("watched")
def test_no_permission_is_one_sentence(refused: Callable[..., str]) -> None:
    write_stream([{"text": "good"}])
    Path("closed").mkdir(mode=0o500)
    assert "cannot be read or written (Permission denied)" in refused(*STREAM, "--output", "closed/x")
    Path("stream.jsonl").chmod(0)
    assert "cannot be read" in refused(*STREAM)


@pytest.mark.usefixtures("watched")
def test_a_file_in_place_of_the_folder_is_one_sentence(refused: Callable[..., str]) -> None:
    write_stream([{"text": "good"}])
    Path("taken").write_text("")
    assert "taken: cannot be read or written (File exists)" in refused(*STREAM, "--output", "taken/x")


def test_times() -> None:
    moment = 1_772_330_400.0
    for value in (moment, str(moment), "2026-03-01T02:00:00Z", "2026-03-01 02:00:00", "2026-03-01T10:00:00+08:00"):
        assert parse_time(value, "x") == moment
    for value in (True, None, [], "nan", float("inf"), "1e300", "yesterday", 10**400):
        with pytest.raises(UserError, match="x is"):
            parse_time(value, "x")


@pytest.mark.usefixtures("watched", "drawn")
def test_the_picture_names_labels_topics_and_alarms() -> None:
    rows = burst(100, 60, 60)
    write_stream([{**row, "topic": {"x": "物流", "y": "<b>$y$"}[row["topic"]]} for row in rows])
    assert main([*STREAM, "--window", "30", "--alarm", "*: bad > 0.5", "--alarm", "bad jumps 3"]) == 0
    picture = (FOLDER / "trend.svg").read_text("utf-8")
    for text in ("Share of the last 30 texts", "good", "bad, by topic", "物流", "&lt;b&gt;$y$", "60%"):
        assert text in picture
    assert "#d03b3b" in picture
    assert {path.name for path in FOLDER.iterdir() if path.suffix == ".svg"} == {"trend.svg"}


class Watching:
    """What a display shows."""

    def __init__(self) -> None:
        self.windows = Windows(Span.parse("10"), 1)
        self.alarms = Alarms([parse_rule("bad > 0.3", ["bad", "good"])], min_count=5, clear=0.9, cooldown=0)
        self.outcomes: Any = type("Outcomes", (), {"labels": ["bad", "good"]})
        self.texts, self.skipped = 12, 1
        for number in range(12):
            entry = Entry(float(number), "t[red]", ("bad",) if number % 2 else ("good",))
            list(self.alarms.judge(self.windows, self.windows.add(entry), entry.time))


def test_the_table_of_a_terminal() -> None:
    out = io.StringIO()
    display, watching = Display(Console(file=out, force_terminal=True, width=90)), Watching()
    display.start(watching)  # type: ignore[arg-type]
    display.update(watching, at_once=True)  # type: ignore[arg-type]
    display.note("a line")
    display.stop()
    shown = out.getvalue()
    for text in (
        "last 10 texts",
        "50.0 %",
        "ALARM",
        "t[red]",
        "12 texts",
        "1 skipped",
        "1 alarm on: bad > 0.3",
        "a line",
    ):
        assert text in shown


def test_a_line_without_a_terminal() -> None:
    out = io.StringIO()
    display, watching = Display(Console(file=out, width=90)), Watching()
    display.start(watching)  # type: ignore[arg-type]
    display.update(watching, at_once=True)  # type: ignore[arg-type]
    assert out.getvalue() == ""
    display.line(watching)  # type: ignore[arg-type]
    assert out.getvalue() == (
        "12 texts, 0/s, 1 skipped; 1 alarm on: bad > 0.3; "
        "last 10 texts: bad 50.0 % (before: 50.0 %), good 50.0 % (before: 50.0 %)\n"
    )


def test_pairs(project: Project) -> None:
    rows = [{"text": a, "text_pair": b, "label": str(a == b)} for a in ("one", "two") for b in ("one", "two")]
    project.write("pairs.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    files = {"train": "pairs.jsonl", "validation": "pairs.jsonl", "test": None}
    project.train(project.config("text-classification", data=files, train={"max_steps": 1}))
    write_stream([rows[0], {"text": "one"}])
    assert main([*STREAM, "--window", "10"]) == 0
    assert len(read("predictions.jsonl")) == 1
    assert "no column 'text_pair', with which the model was trained" in read("skipped.jsonl")[0]["reason"]
    Path("x.txt").write_text("one\n")
    os.utime("x.txt", (1e9, 1e9))
    assert main(["monitor", "runs/config", "--input", "x.txt", "--once"]) == 2
