"""Trackio: an SQLite file in TRACKIO_DIR, which `trackio show` opens, or the Space that TRACKIO_SPACE_ID names."""

import os
from collections.abc import Sequence
from uuid import uuid4

from .tracker import About, Point


class Tracker:
    """A run of Trackio, which knows it by its name."""

    def __init__(self, about: About, known: str | None) -> None:
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        import trackio

        self.id, self._last = known or f"{about.name}-{uuid4().hex[:8]}", 0
        self._run = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", about.project),
            name=self.id,
            resume="allow",
            config={**about.settings, **about.tags},
            space_id=os.environ.get("TRACKIO_SPACE_ID"),
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def log(self, points: Sequence[Point]) -> None:
        for point in points:
            self._last = point.step
            self._run.log(point.values, step=point.step)

    def finish(self, summary: dict[str, float]) -> None:
        if summary:
            self._run.log(summary, step=self._last)
        self._run.finish()
