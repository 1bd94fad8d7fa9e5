"""Commands that are killed at random moments, repeated, and compared with commands that ran through.

A command runs in a fork of this process, which has loaded torch already, in a folder of its own. Half of the kills
come after a random time, in the midst of whatever goes on; half before a random operation on files, so that the short
time of a save has its share. What a command leaves is compared byte by byte, without times of day and durations.
"""

import contextlib
import json
import multiprocessing
import os
import random
import re
import runpy
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from finetune.files import MANIFEST, is_valid

TIMES = {"seconds", "examples_per_second", "tokens_per_second", "started", "time", "clock", "inode"}
"""Keys of JSON files whose values are times, or depend on the copy of a folder."""
SHOWN_TIMES = rb"<dd>(\d{4}-\d\d-\d\d \d\d:\d\d [+-]\d{4}|\d+:\d\d:\d\d)</dd>"
"""When a training was started and how long it took, in a report."""
LOCKS = r"(^|/)(\.lock|\..*\.lock|[0-9a-f]{32}\.lock)$"
"""Locks are empty files, which stay."""
EARLIER = rf"{LOCKS}|/checkpoints/step-2/"
"""After a kill at the end, there may be one more checkpoint, which a further save would remove."""
Work = Callable[[], int]
"""A command, which returns its exit code. It runs in its folder, in a process of its own."""


@dataclass(frozen=True)
class Verb:
    """A command that writes."""

    name: str
    run: Work
    again: Work | None = None
    """What continues it after a kill; None: the same command."""
    done: str = ""
    """What it says where it has been done already."""
    leaves: str = LOCKS
    """Files that a kill may leave."""
    kills: int = 1
    """So many kills in a row at most, before it may run through."""


@dataclass
class Kills:
    """What came of the kills of a command."""

    name: str
    kills: int = 0
    lost: list[str] = field(default_factory=list)
    """Repetitions that failed, or left less than a command that ran through."""
    unequal: list[str] = field(default_factory=list)
    """Files with another content than after a command that ran through."""


def finetune(*arguments: str) -> Work:
    """A command of the package, as `python -m finetune` runs it."""

    def run() -> int:
        sys.argv = ["finetune", *arguments]
        try:
            runpy.run_module("finetune", run_name="__main__", alter_sys=True)
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return run


def verbs(config: str) -> list[Verb]:
    """The commands of the package that write, on the project of `conftest.filled` with a finished run `runs/done`."""
    once = ("--once", "--batch-size", "3", "--window", "3")
    train = ("train", config, "run.name=new")
    return [
        Verb("train", finetune(*train), finetune(*train, "--resume", "auto"), kills=3, leaves=EARLIER),
        Verb("evaluate", finetune("evaluate", "runs/done", "--split", "test")),
        Verb("predict", finetune("predict", "runs/done", "train.jsonl")),
        Verb("export", finetune("export", "runs/done", "exported"), done="exists already"),
        Verb("report", finetune("report", "runs/done")),
        Verb("monitor", finetune("monitor", "runs/done", "--input", "train.jsonl", *once), kills=2),
        Verb("init-data", finetune("init-data", "train.jsonl", "--config", "forms.yaml", "--output", "data/new")),
        Verb("check-data", finetune("check-data", config)),
        Verb("errors", finetune("errors", "runs/done")),
        Verb("explain", finetune("explain", "runs/done", "--split", "validation")),
        Verb("compare", finetune("compare", "runs/done", "runs/other", "--output", "curves.svg")),
    ]


def kill_often(verb: Verb, prepared: Path, scratch: Path, kills: int, seed: int) -> Kills:
    """Kill a command at `kills` moments, each time in a copy of the folder `prepared`, and repeat it to its end."""
    draw, found = random.Random(f"{verb.name} {seed}"), Kills(verb.name)
    again = verb.again or verb.run
    with copied(prepared, scratch) as folder:
        duration, operations = uninterrupted(verb.run, folder, scratch)
        whole = left_by(folder, verb.leaves)
    while found.kills < kills:
        with copied(prepared, scratch) as folder:
            work, killed = verb.run, []
            for _ in range(min(draw.randint(1, verb.kills), kills - found.kills)):
                before, after = (draw.randint(1, operations), None) if draw.random() < 0.5 else (None, draw.random())
                if killed_at(work, folder, scratch, before, after and after * duration):
                    killed.append(f"operation {before}" if before else f"{after:.3f} of the time")
                work = again
            if not killed:
                continue
            found.kills += len(killed)
            where = f"{verb.name}, seed {seed}, killed at {' and '.join(killed)}"
            code, said = wait(start(work, folder, scratch)), last_line(scratch)
            if code != 0 and not (verb.done and verb.done in said):
                found.lost.append(f"{where}: exit code {code}: {said}")
                continue
            after_kill = left_by(folder, verb.leaves)
            found.lost += [f"{where}: {name} is missing" for name in sorted(whole.keys() - after_kill.keys())]
            found.unequal += [
                f"{where}: {name}" for name, content in sorted(after_kill.items()) if content != whole.get(name)
            ]
    return found


@contextlib.contextmanager
def copied(prepared: Path, scratch: Path) -> Iterator[Path]:
    """A copy of a folder, which is removed at the end."""
    folder = scratch / "project"
    shutil.copytree(prepared, folder, symlinks=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def uninterrupted(work: Work, folder: Path, scratch: Path) -> tuple[float, int]:
    """Seconds and number of operations on files of a command that runs through."""
    began, count = time.monotonic(), scratch / "operations"
    code = wait(start(work, folder, scratch, count_in=count))
    assert code == 0, (scratch / "output").read_text()
    return time.monotonic() - began, int(count.read_text())


def killed_at(work: Work, folder: Path, scratch: Path, before: int | None, after: float | None) -> bool:
    """Start a command and kill it, before an operation or after some seconds; False if it had ended by then."""
    process = start(work, folder, scratch, kill_at=before)
    if after is not None:
        process.join(after)
        process.kill()
    return wait(process) == -signal.SIGKILL


def start(work: Work, folder: Path, scratch: Path, *, kill_at: int | None = None, count_in: Path | None = None) -> Any:
    """A process with the command, killed just before its operation `kill_at` on files of its folder."""

    def child() -> None:
        output = os.open(scratch / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1, encoding="utf-8") for stream in (1, 2))
        os.chdir(folder)
        done = 0

        def on_event(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal done
            writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if writes or event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link"):
                done += 1
                if done == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(on_event)
        code = work()
        if count_in:
            count_in.write_text(str(done))
        sys.stdout.flush()
        os._exit(code)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    return process


def stopped(work: Work, folder: Path, scratch: Path, number: signal.Signals, after: float) -> tuple[int, float]:
    """The exit code of a command that gets a signal after some seconds, and how long it took to end."""
    process = start(work, folder, scratch)
    process.join(after)
    began = time.monotonic()
    if process.exitcode is None:
        os.kill(process.pid, number)
    return wait(process), time.monotonic() - began


def wait(process: Any) -> int:
    """The exit code of a process, which must end within two minutes; negative: the signal that ended it."""
    process.join(120)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError("the command hangs")
    return int(process.exitcode)


def last_line(scratch: Path) -> str:
    """The last line that a command has printed."""
    return ((scratch / "output").read_text(errors="replace").strip().splitlines() or [""])[-1]


def left_by(folder: Path, ignored: str) -> dict[str, Any]:
    """The content of each file of a folder, without times; the points of TensorBoard for its files together."""
    left: dict[str, Any] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.name.startswith("events.out."):
            left[f"{path.parent.relative_to(folder).as_posix()}/events"] = points(path.parent)
        elif not re.search(ignored, name):
            left[name] = without_times(path)
    return left


def without_times(path: Path) -> Any:
    """The content of a file to compare."""
    content = path.read_bytes()
    if path.name == MANIFEST and path.parent.parent.name == "checkpoints":  # it has the checksum of progress.json
        return is_valid(path.parent)
    if path.name in ("progress.json", "environment.json", "state.json", "baselines.json"):
        return stripped(json.loads(content))
    if path.suffix == ".jsonl":
        return [stripped(json.loads(line)) for line in content.splitlines()]
    if path.name == "index.html":
        return re.sub(SHOWN_TIMES, b"", content)
    return content


def stripped(value: Any) -> Any:
    """A JSON value without times."""
    if isinstance(value, dict):
        return {key: stripped(part) for key, part in value.items() if key not in TIMES}
    return [stripped(part) for part in value] if isinstance(value, list) else value


def points(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The curves that TensorBoard shows of a run."""
    events = EventAccumulator(str(folder)).Reload()
    return {tag: [(point.step, point.value) for point in events.Scalars(tag)] for tag in no_rates(events)}


def no_rates(events: EventAccumulator) -> Iterable[str]:
    return [tag for tag in events.Tags()["scalars"] if not tag.endswith("_per_second")]
