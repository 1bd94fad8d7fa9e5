"""Stages as configs of their own, without the training stack."""

from ..config.config import Config, Run, Stage
from ..run.folder import STAGES


def stage_config(config: Config, number: int) -> Config:
    """A stage as a run of its own, which continues the one before."""
    stage = config.stages[number]
    folder = config.run_folder / STAGES
    before = folder / run_name(number - 1, config.stages[number - 1]) if number else config.continue_from
    return config.model_copy(
        update={
            "data": stage.data,
            "train": stage.train,
            "optim": stage.optim,
            "run": Run(name=run_name(number, stage), dir=folder, track=config.run.track),
            "continue_from": before,
            "stages": [],
        }
    )


def run_name(number: int, stage: Stage) -> str:
    """The folder of a stage's run."""
    return f"{number + 1}-{stage.name}"
