"""A monitor that is killed leaves what an uninterrupted one leaves, with the predictions of a model."""

import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import BAD, GOOD, ROOT

from finetune.cli import main

FOLDER = Path("runs/config/monitor/stream")
LEFT = ("predictions.jsonl", "alarms.jsonl", "skipped.jsonl", "trend.jsonl")
OPTIONS = ("--window", "20", "--time", "at", "--min-count", "5", "--alarm", "good > 0.6", "--alarm", "bad > 0.6")
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes; this system has no fork")


def rows(count: int) -> list[str]:
    """Lines of a stream, good and bad in turns of 40, some of which cannot be read."""
    rng = random.Random(0)
    lines = [
        json.dumps({"id": n, "text": rng.choice((GOOD, BAD)[n // 40 % 2]), "topic": "xyz"[n % 3], "at": 1e9 + n})
        for n in range(count)
    ]
    return [line if n % 17 else line[:9] for n, line in enumerate(lines)]


def write_stream(lines: list[str]) -> None:
    Path("stream.jsonl").write_text("".join(f"{line}\n" for line in lines))
    os.utime("stream.jsonl", (1e9, 1e9))


def left() -> dict[str, bytes]:
    return {name: (FOLDER / name).read_bytes() if (FOLDER / name).exists() else b"" for name in LEFT}


def run_until_killed(kill_at: int, torn: bool) -> None:
    """Monitor, and be killed just before the operation on files `kill_at`; `torn`: in the middle of an append."""
    operations = itertools.count(1)

    def on_event(event: str, arguments: tuple[Any, ...]) -> None:
        name = str(arguments[0]) if arguments else ""  # of a folder that is held open, files are opened by their names
        inside = str(FOLDER) in name or name in LEFT
        touched = event in ("open", "os.rename", "os.truncate") and inside
        if touched and next(operations) == kill_at:
            if torn and event == "open" and name.endswith(".jsonl"):
                descriptor = os.open(FOLDER / Path(name).name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
                os.write(descriptor, b'{"id": 0, "text": "half a l')
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(on_event)
    os._exit(main(["monitor", "runs/config", "--input", "stream.jsonl", "--once", "--batch-size", "16", *OPTIONS]))


def start(kill_at: int, torn: bool = False) -> int | None:
    process = multiprocessing.get_context("fork").Process(target=run_until_killed, args=(kill_at, torn))
    process.start()
    process.join()
    return process.exitcode


@FORKS
@pytest.mark.parametrize("torn", [False, True], ids=["whole", "torn"])
def test_a_monitor_killed_before_any_operation_repeats_and_loses_nothing(
    torn: bool, finished: Callable[[str], None]
) -> None:
    finished("text-classification")
    write_stream(rows(100))
    assert start(10**9) == 0
    whole = left()
    assert whole["predictions.jsonl"].count(b"\n") == 94
    assert whole["skipped.jsonl"].count(b"\n") == 6
    for kill_at in itertools.count(1):
        shutil.rmtree(FOLDER)
        if start(kill_at, torn) == 0:
            break
        assert start(10**9) == 0
        assert left() == whole
    assert kill_at > 25


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_monitor_killed_at_any_moment_repeats_and_loses_nothing(finished: Callable[[str], None]) -> None:
    """A file that grows meanwhile; the process is started as a user starts it, and ended by SIGTERM at last.

    What has arrived is a batch, so batches differ, and with them the last digits of probabilities.
    """
    finished("text-classification")
    lines = rows(400)
    arguments = ["monitor", "runs/config", "--input", "stream.jsonl", "--batch-size", "8", *OPTIONS]
    command = [sys.executable, "-m", "finetune", *arguments]
    write_stream(lines)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    subprocess.run([*command, "--once"], env=environment, check=True)
    whole = comparable()
    shutil.rmtree(FOLDER)
    rng, written = random.Random(1), 0
    Path("stream.jsonl").write_text("")
    for _ in range(4):
        process, before = subprocess.Popen(command, env=environment), count()
        written = append(lines, written, 20)
        wait_until(lambda least=before + 1: count() >= least)
        for _ in range(rng.randint(1, 20)):
            written = append(lines, written, rng.randint(0, 5))
            time.sleep(0.005)
        process.kill()
        process.wait()
    assert written < len(lines)
    process = subprocess.Popen(command, env=environment)
    append(lines, written, len(lines))
    wait_until(lambda: count() >= len(whole["predictions.jsonl"]))
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    found = comparable()
    assert found.pop("probabilities") == pytest.approx(whole.pop("probabilities"), abs=1e-5)
    assert found == whole


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)


def append(lines: list[str], written: int, some: int) -> int:
    """Write so many more lines, in two pieces, so that a half line is there for a moment."""
    text = "".join(f"{line}\n" for line in lines[written : written + some])
    for piece in (text[: len(text) // 2], text[len(text) // 2 :]):
        with Path("stream.jsonl").open("a") as file:
            file.write(piece)
    return min(written + some, len(lines))


def count() -> int:
    file = FOLDER / "predictions.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def comparable() -> dict[str, list[Any]]:
    """What is left, with the probabilities of predictions as numbers to compare at the end."""
    found: dict[str, list[Any]] = {name: list(map(json.loads, text.splitlines())) for name, text in left().items()}
    found["probabilities"] = [row.pop("probabilities")["good"] for row in found["predictions.jsonl"]]
    for row in found["predictions.jsonl"]:
        del row["probability"]
    return found
