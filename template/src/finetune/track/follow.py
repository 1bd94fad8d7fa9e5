"""Send the metrics of a run to a tracker: what is there, and while it trains, what is added."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import Field

from ..config.flat import flat
from ..errors import UserError
from ..run.folder import RunFolder
from ..run.history import NO_METRIC, Record, TrainingHistory, read_history
from ..run.records import Count, Number, Typed, read_record
from ..time_limit import time_limit
from ..urls import without_secrets
from .tracker import About, Point, Tracker

PACKAGES = {
    "mlflow": "-c constraints.txt mlflow-skinny",
    "wandb": "-c constraints.txt wandb",
    "trackio": "trackio",
    "swanlab": "swanlab",
}
"""What pip installs for each tracker; the last two need older versions of pillow and protobuf than constraints.txt."""
POLL = 2.0
"""Seconds between two looks at metrics.jsonl."""
START = 60.0
"""Seconds until a tracker has to have its run; a wait inside a library's own thread is not interrupted."""
QUIET = 30.0
"""Seconds without a new record after which a training that did not reach its last step may have ended."""


class TrackerError(Exception):
    """A tracker, or the way to its server, failed."""


class Sent(Typed):
    """tracker-<name>.json: the run of the tracker, the last step of each kind that it has, and its evaluations."""

    id: str
    sent: dict[str, Count] = Field(default_factory=dict)
    summary: dict[str, Number] = Field(default_factory=dict)


def send(run: RunFolder, to: str, has_ended: Callable[[], bool]) -> int:
    """Send what the tracker lacks until the training has ended; returns the number of points.

    What has been sent is noted after each request, so that a later start continues. Raises TrackerError.
    """
    name = f"tracker-{to}.json"
    remedy = "remove the file to send the run anew"
    before = read_record(run, name, Sent, remedy) if run.at(name).exists() else {}
    state: dict[str, Any] = {"sent": {}, "summary": {}, **before}

    def note(**changes: Any) -> None:
        state.update(changes)
        run.write(name, Sent.model_validate(state).model_dump_json(indent=2) + "\n")

    with reported(to), time_limit(START):
        tracker: Tracker = import_module(f".{to}", __package__).Tracker(about(run), state.get("id"))
    note(id=tracker.id)
    count, seen, ended = 0, None, False
    while not ended:
        ended = has_ended()  # asked first: what was written until then is read below
        if seen != (seen := stamp(run.metrics_file)):
            history = read_history(run.metrics_file)
            points = points_after(history, state["sent"])
            if points:
                with reported(to):
                    tracker.log(points)
                note(sent=last_steps(history, state["sent"]))
            count += len(points)
        if not ended:
            time.sleep(POLL)
    found = evaluations(run)
    with reported(to):
        tracker.finish({key: value for key, value in found.items() if state["summary"].get(key) != value})
    note(summary=found)
    return count


@contextmanager
def reported(to: str) -> Iterator[None]:
    """Raise TrackerError for whatever a tracker raises: each has exceptions of its own, and of its network library."""
    try:
        yield
    except Exception as error:
        said = " ".join(str(error).split()) or "no answer"
        raise TrackerError(f"{to}: {type(error).__name__}: {said[:300]}") from error


def require_tracker(to: str) -> None:
    """Raise UserError if the package of the tracker is not installed."""
    if find_spec(to) is None:
        raise UserError(f"track --to {to}: needs {to}: pip install {PACKAGES[to]}")


def about(run: RunFolder) -> About:
    """What the tracker shows of the run."""
    config, environment = run.config(), run.environment()
    values = flat(config.model_dump(mode="json"))
    settings = {
        key: value if isinstance(value, int | float) else without_secrets(str(value)) for key, value in values.items()
    }
    commit = (environment.get("git") or {}).get("commit")
    tags = {"task": config.task.type, "model": config.model.name, **({"git": commit} if commit else {})}
    started = environment.get("started")
    moment = datetime.fromisoformat(started).timestamp() if started else run.config_file.stat().st_mtime
    return About(
        name=run.path.resolve().name,
        project=Path.cwd().name,
        folder=run.path.resolve(),
        started=round(1000 * moment),
        settings=settings,
        tags=tags,
    )


def points_after(history: TrainingHistory, sent: dict[str, int]) -> list[Point]:
    """The points that the tracker lacks, by step. Those that a resumed run repeats are equal, and not sent again."""
    timed = [(record["step"], record.get("seconds", 0.0)) for record in history.train]

    def points(kind: str, records: Sequence[Record]) -> Iterator[Point]:
        for record in records:
            if record["step"] > sent.get(kind, 0):
                seconds = max((seconds for step, seconds in timed if step <= record["step"]), default=0.0)
                yield Point(record["step"], seconds, {f"{kind}/{name}": value for name, value in numbers(record)})

    found = [*points("train", history.train), *points("validation", history.validation)]
    return sorted(found, key=lambda point: point.step)


def numbers(record: Record) -> Iterator[tuple[str, float]]:
    """The finite metrics of a record, with the loss."""
    for name, value in record.items():
        if (name == "loss" or name not in NO_METRIC) and isinstance(value, int | float) and math.isfinite(value):
            yield name, float(value)


def last_steps(history: TrainingHistory, sent: dict[str, int]) -> dict[str, int]:
    """The last step of each kind."""
    kinds = {"train": history.train, "validation": history.validation}
    return {kind: max(sent.get(kind, 0), *(record["step"] for record in some), 0) for kind, some in kinds.items()}


def evaluations(run: RunFolder) -> dict[str, float]:
    """The metrics of all evaluations, by names such as `evaluation/test/accuracy`."""
    found = {
        f"evaluation/{each['split']}/{name}": value
        for each in run.evaluations()
        for name, value in each["metrics"].items()
    }
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}


def stamp(path: Path) -> tuple[int, int] | None:
    """Size and time of the last change of a file; None if there is none."""
    return ((found := path.stat()).st_size, found.st_mtime_ns) if path.exists() else None


def training_has_ended(run: RunFolder) -> Callable[[], bool]:
    """Whether a training, perhaps of another process, has ended: at its last step, or nothing new and no lock."""
    total, latest, since = run.environment().get("total_steps", 0), stamp(run.metrics_file), time.monotonic()

    def has_ended() -> bool:
        nonlocal latest, since
        if latest != (latest := stamp(run.metrics_file)):
            since = time.monotonic()
        train = read_history(run.metrics_file).train
        if total and train and train[-1]["step"] >= total:
            return True
        return time.monotonic() - since > QUIET and not run.is_claimed

    return has_ended
