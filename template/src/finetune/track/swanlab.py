"""SwanLab. Its own variables are SWANLAB_API_KEY, SWANLAB_PROJ_NAME, SWANLAB_MODE=offline and others."""

import os
from collections.abc import Sequence
from uuid import uuid4

from .tracker import About, Point

PROBES = ("hardware", "runtime", "requirements", "git", "swanlab", "monitor")
"""What is looked at otherwise."""


class Tracker:
    """A run of SwanLab. Its files are in the folder of the run, unless SWANLAB_LOG_DIR names another."""

    def __init__(self, about: About, known: str | None) -> None:
        import swanlab

        private = swanlab.Settings(
            interactive=False,  # no question for a key
            probe=swanlab.Settings.Probe(**dict.fromkeys(PROBES, False)),
            terminal=swanlab.Settings.Terminal(proxy_type="none"),
        )
        self.id, self._last = known or uuid4().hex[:21], 0
        self._run = swanlab.init(
            project=os.environ.get("SWANLAB_PROJ_NAME", about.project),
            name=about.name,
            id=self.id,
            resume="allow",
            config=dict(about.settings),
            tags=[f"{name}:{value}" for name, value in about.tags.items()],
            settings=private,
            log_dir=os.environ.get("SWANLAB_LOG_DIR", str(about.folder / "swanlab")),
        )

    def log(self, points: Sequence[Point]) -> None:
        for point in points:
            self._last = point.step
            self._run.log(point.values, step=point.step)

    def finish(self, summary: dict[str, float]) -> None:
        if summary:
            self._run.log(summary, step=self._last)
        self._run.finish()
