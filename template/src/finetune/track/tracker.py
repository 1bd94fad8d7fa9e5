"""What is sent to a tracker, and what a module for one has to offer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

TIMEOUT = 20
"""Seconds that a request to a server may take."""


@dataclass(frozen=True, slots=True)
class Point:
    """Metrics after a step, by names such as `train/loss`; `seconds` of training before it."""

    step: int
    seconds: float
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class About:
    """What a tracker shows of a run beside its metrics."""

    name: str
    project: str
    folder: Path
    """The folder of the run, for the files of trackers that keep some."""
    started: int
    """Milliseconds since 1970."""
    settings: dict[str, str | int | float | bool]
    """The config by keys such as `optim.lr`, without secrets."""
    tags: dict[str, str]


class Tracker(Protocol):
    """A run of a tracker, made from `About` and the id of an earlier start, which it then continues."""

    id: str

    def log(self, points: Sequence[Point]) -> None:
        """Send metrics; each point is sent once, or again with the same values after a failure."""

    def finish(self, summary: dict[str, float]) -> None:
        """Send the metrics of evaluations that are new, and wait until everything has arrived."""
