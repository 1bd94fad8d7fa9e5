"""Weights & Biases. Its own variables are WANDB_API_KEY, WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE=offline and others."""

import os
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from .tracker import TIMEOUT, About, Point

VARIABLES = {"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}
"""Read when wandb is imported."""
PRIVATE: dict[str, Any] = {
    "console": "off",
    "disable_git": True,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}
"""Nothing of the machine and its packages is sent."""
LIMIT = 60.0
"""Seconds until it gives up on sending the rest, which stays in its folder for `wandb sync`."""


class Tracker:
    """A run of Weights & Biases. Its files are in the folder of the run, unless WANDB_DIR names another."""

    def __init__(self, about: About, known: str | None) -> None:
        os.environ |= VARIABLES | os.environ
        import wandb

        self.id = known or uuid4().hex
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", about.project),
            name=about.name,
            id=self.id,
            resume="allow",
            config=dict(about.settings),
            tags=[f"{name}:{value}"[:64] for name, value in about.tags.items()],
            dir=os.environ.get("WANDB_DIR", str(about.folder)),
            settings=wandb.Settings(**PRIVATE, init_timeout=TIMEOUT, finish_timeout=LIMIT, finish_timeout_raises=True),
        )
        # By the step of the training: the counter of Weights & Biases refuses steps that come again.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def log(self, points: Sequence[Point]) -> None:
        for point in points:
            self._run.log({"step": point.step, **point.values})

    def finish(self, summary: dict[str, float]) -> None:
        self._run.summary.update(summary)
        self._run.finish()
