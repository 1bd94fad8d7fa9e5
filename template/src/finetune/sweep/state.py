"""The state of a sweep, sweep.json: its trials, so that a sweep that was killed goes on from there."""

import json
import statistics
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ..config.flat import flat
from ..errors import UserError
from ..files import Folder, is_plain
from ..parsing import reason
from ..run.records import Count, Number, Typed
from .settings import Plan

FILE = "sweep.json"
FORMAT = 1
"""Version of the keys in sweep.json."""
FREE_TO_CHANGE = ("trials", "seeds", "parallel", "prune")
"""Keys of a sweep that may differ when it goes on: what is finished stays as it is."""
Ending = Literal["waiting", "finished", "pruned", "failed"]


class TrialRun(Typed):
    """A training of a trial."""

    name: str
    """Its folder in that of the sweep."""
    seed: Count
    ending: Ending = "waiting"
    """How it ended; waiting: it has not, and is started or resumed."""
    value: Number | None = None
    """The metric on the validation data at its best step."""
    step: Count | None = None
    curve: list[tuple[Count, Number]] = Field(default_factory=list)
    """Step and metric of each validation."""
    sentence: str = ""
    """Why it failed."""

    @model_validator(mode="after")
    def _has_a_value(self) -> Self:
        if self.ending == "finished" and self.value is None:
            raise ValueError("a training that has finished has a value")
        return self


class Trial(Typed):
    """A setting, and its trainings."""

    number: Count
    values: dict[str, Any]
    runs: list[TrialRun]

    @property
    def ending(self) -> Ending:
        """How the trial ended: as the first of its runs that did not finish."""
        return next((run.ending for run in self.runs if run.ending != "finished"), "finished")

    @property
    def mean(self) -> float | None:
        """The mean of the metric over the seeds, once all have finished."""
        return statistics.fmean(self.scores) if self.ending == "finished" else None

    @property
    def spread(self) -> float | None:
        """The sample standard deviation over the seeds, if there are several."""
        return statistics.stdev(self.scores) if self.ending == "finished" and len(self.runs) > 1 else None

    @property
    def scores(self) -> list[float]:
        """The metric of the runs that have finished."""
        return [float(run.value) for run in self.runs if run.ending == "finished" and run.value is not None]

    @property
    def sentence(self) -> str:
        """Why it failed."""
        return next((run.sentence for run in self.runs if run.sentence), "")


class TestScores(Typed):
    """The one look at the test data."""

    __test__ = False
    trial: Count
    headline: str
    metrics: list[dict[str, Number]]
    """Of each run of the trial."""


class State(Typed):
    """sweep.json."""

    format: Count = FORMAT
    metric: str
    lower_is_better: bool
    sweep: dict[str, Any]
    """Settings of the sweep."""
    base: dict[str, Any]
    """The base config."""
    trials: list[Trial] = Field(default_factory=list)
    test: TestScores | None = None

    def ranked(self) -> list[Trial]:
        """The trials that have finished, the best first; of equal ones the earlier."""
        done = [trial for trial in self.trials if trial.mean is not None]
        return sorted(done, key=lambda trial: self.loss(trial.mean or 0.0))

    def loss(self, value: float) -> float:
        """The metric as a number that falls as the model improves."""
        return value if self.lower_is_better else -value

    def save(self, folder: Folder) -> None:
        """Write sweep.json atomically."""
        folder.write(FILE, self.model_dump_json(indent=1) + "\n")


def load_state(plan: Plan, folder: Folder) -> State:
    """The state in the folder of the sweep, or a new one. Trainings that failed are tried again.

    Raises UserError if the sweep was another one when it was started.
    """
    now = State(
        metric=plan.metric,
        lower_is_better=plan.lower_is_better,
        sweep=plan.sweep.model_dump(mode="json", exclude={*FREE_TO_CHANGE, "name", "dir"}, exclude_none=True),
        base=plan.base.model_dump(mode="json", exclude={"run"}),
    )
    if not (folder.path / FILE).exists():
        return now
    remedy = f"put back an intact copy, or remove {folder.path} to start anew"
    try:
        before = State.model_validate_json(folder.read(FILE))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder.path / FILE}: is damaged ({reason(error)}): {remedy}") from error
    for what, then, today in ((plan.file, before.sweep, now.sweep), (plan.sweep.config, before.base, now.base)):
        if key := _difference(then, json.loads(json.dumps(today))):
            raise UserError(
                f"{what}: {key} has changed since the sweep in {folder.path} was started: change it back to go on, or "
                f"start another sweep with name=..."
            )
    for trial in before.trials:
        if not trial.runs or not all(is_plain(run.name) for run in trial.runs):
            raise UserError(f"{folder.path / FILE}: trial {trial.number} names no folders of runs in it: {remedy}")
        if trial.values.keys() != plan.sweep.vary.keys():
            raise UserError(f"{folder.path / FILE}: trial {trial.number} has other keys than the sweep: {remedy}")
        try:
            plan.config(trial.values)
        except UserError as error:
            raise UserError(f"{folder.path / FILE}: trial {trial.number}: {error}") from error
    for run in (run for trial in before.trials for run in trial.runs if run.ending == "failed"):
        run.ending, run.sentence = "waiting", ""
    return before


def _difference(then: dict[str, Any], now: dict[str, Any]) -> str:
    """The first key at which two configs differ; empty if there is none."""
    one, other = flat(then), flat(now)
    return next((key for key in sorted(one.keys() | other.keys()) if one.get(key) != other.get(key)), "")
