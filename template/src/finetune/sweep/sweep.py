"""Run a sweep: start trainings, follow their logs, prune, and note each result at once."""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from filelock import FileLock, Timeout

from ..errors import INTERRUPTED, OK, UserError
from ..files import Folder, make_folders
from ..run.folder import RunFolder
from ..run.history import read_history
from .child import Child, variables_of_slots
from .settings import Plan
from .space import propose, wanted_trials
from .state import State, Trial, TrialRun
from .study import Study

POLL = 0.2
"""Seconds between two looks at the trainings."""
ALIKE = 3
"""A sweep stops whose first trials, so many, all fail with the same sentence."""
LOGS = "logs"
"""Folder of what the trainings print."""


@dataclass(slots=True)
class Job:
    """A training that is running."""

    trial: Trial
    run: TrialRun
    child: Child
    slot: int
    read: int = -1
    """Bytes of its log that have been read."""
    reported: int = 0
    """Validations of which the study knows."""
    is_pruned: bool = False


class Runner:
    """The trainings of a sweep, at most `parallel` at a time."""

    def __init__(self, plan: Plan, state: State, folder: Folder, changed: Callable[[set[str]], None]) -> None:
        self.plan, self.state, self.folder = plan, state, folder
        self.jobs: list[Job] = []
        self._show = changed
        self._wanted = wanted_trials(plan.sweep)
        self._variables = variables_of_slots(plan.base, plan.sweep.parallel)
        self._is_stopping = False
        self._study = Study(plan, state) if plan.sweep.needs_optuna else None
        for trial in state.trials:
            self._add_seeds(trial)

    def run(self, stopped: threading.Event) -> None:
        """Train until all trials have ended, or `stopped` is set: then the trainings save, and end.

        Raises UserError if the first trials all fail alike.
        """
        try:
            while not stopped.is_set() and (self._start() or self.jobs or self._elsewhere()):
                self._follow()
                stopped.wait(POLL)
            self._is_stopping = True
            for job in self.jobs:
                job.child.stop()
            while self.jobs:
                self._follow()
                threading.Event().wait(POLL)
        finally:
            for job in self.jobs:
                job.child.kill()

    def _start(self) -> bool:
        """Start what there is room for; whether anything was started."""
        before = len(self.jobs)
        while len(self.jobs) + len(self._elsewhere()) < self.plan.sweep.parallel and (found := self._next()):
            trial, run = found
            slot = min({*range(self.plan.sweep.parallel)} - {job.slot for job in self.jobs})
            own = {"train.seed": run.seed, "run.dir": str(self.folder.path), "run.name": run.name}
            command = ["train", str(self.plan.sweep.config), *self.plan.overrides({**trial.values, **own})]
            log = self.folder.inner(LOGS).at(f"{run.name}.txt")
            self.jobs.append(Job(trial, run, Child([*command, "--resume", "auto"], log, self._variables[slot]), slot))
        if len(self.jobs) > before:
            self._changed()
        return len(self.jobs) > before

    def _changed(self) -> None:
        self._show({job.run.name for job in self.jobs})

    def _next(self) -> tuple[Trial, TrialRun] | None:
        """The next run that can be started, of a trial that has begun or of a new one."""
        running = [job.run for job in self.jobs]
        for trial, run in self._waiting():
            if run not in running and not self._is_locked(run):
                return trial, run
        if len(self.state.trials) >= self._wanted:
            return None
        number = len(self.state.trials) + 1
        if self._study and self.plan.sweep.search == "tpe":
            values = self._study.propose(number)
        else:
            before = [trial.values for trial in self.state.trials]
            values = propose(self.plan.sweep, number, before, self.plan.base.train.seed)
            if self._study:
                self._study.begin(number, values)
        trial = Trial(number=number, values=values, runs=[])
        self._add_seeds(trial)
        self.state.trials.append(trial)
        self.state.save(self.folder)
        return trial, trial.runs[0]

    def _waiting(self) -> Iterator[tuple[Trial, TrialRun]]:
        """The runs of begun trials that have not ended. With pruning, the first of a trial decides on the others."""
        for trial in self.state.trials:
            if trial.ending == "waiting":
                runs = [run for run in trial.runs if run.ending == "waiting"]
                first_only = self.plan.sweep.prune != "none" and runs[0] is trial.runs[0]
                yield from ((trial, run) for run in (runs[:1] if first_only else runs))

    def _elsewhere(self) -> list[TrialRun]:
        """Runs that a training of a sweep which was killed is still writing; they are waited for."""
        running = [job.run for job in self.jobs]
        return [run for _, run in self._waiting() if run not in running and self._is_locked(run)]

    def _is_locked(self, run: TrialRun) -> bool:
        return RunFolder(self.folder.path / run.name).is_claimed

    def _add_seeds(self, trial: Trial) -> None:
        """The runs of a trial, one for each seed, as far as they are missing."""
        first = int(trial.values.get("train.seed", self.plan.base.train.seed))
        for seed in range(first + len(trial.runs), first + self.plan.sweep.seeds):
            trial.runs.append(TrialRun(name=f"trial-{trial.number}-seed-{seed}", seed=seed))

    def _follow(self) -> None:
        """Read what the trainings have logged, and note those that have ended."""
        for job in [*self.jobs]:
            code = job.child.code
            self._read(job)
            if code is not None:
                self.jobs.remove(job)
                self._end(job, code)

    def _read(self, job: Job) -> None:
        path = RunFolder(self.folder.path / job.run.name).metrics_file
        size = path.stat().st_size if path.is_file() else 0
        if size == job.read:
            return
        job.read = size
        try:
            history = read_history(path)
        except UserError:  # the training itself tells
            return
        # The first metric of a validation is the one that chooses; where texts are generated for a part of the
        # examples, its name says for how many.
        metric = "loss" if self.plan.metric == "loss" else history.first_metric()
        if metric is None:
            return
        self.state.metric = metric
        job.run.curve = history.values("validation", metric)
        job.run.step, job.run.value = history.best(metric) or (None, None)
        if self._study and self.plan.sweep.prune != "none" and job.run is job.trial.runs[0]:
            self._prune(job, self._study)
        self._changed()

    def _prune(self, job: Job, study: Study) -> None:
        """Stop a training that is worse than the others at one of its validations, the last one left out.

        It counts as pruned even if it has ended meanwhile, and up to that validation: the result of a sweep must not
        depend on when the log was read.
        """
        for step, value in [] if job.is_pruned else job.run.curve[job.reported :]:
            is_worse = study.should_prune(job.trial.number, job.reported, value)
            job.reported += 1
            total = RunFolder(self.folder.path / job.run.name).environment().get("total_steps")
            if is_worse and step != total:
                job.is_pruned = True
                job.child.stop()
                break
        if job.is_pruned:
            del job.run.curve[job.reported :]
            job.run.step, job.run.value = job.run.curve[-1]

    def _end(self, job: Job, code: int) -> None:
        """Note how a training ended; one that was stopped, or that another process is writing, waits to be resumed."""
        run = job.run
        if job.is_pruned:
            run.ending = "pruned"
        elif code == OK and run.value is not None and math.isfinite(run.value):
            run.ending = "finished"
        elif code == OK:
            run.ending, run.sentence = "failed", f"its log has no finite {self.state.metric}"
        elif code != INTERRUPTED and not self._is_stopping and not self._is_locked(run):
            run.ending, run.sentence = "failed", job.child.sentence()
        if self._study and job.trial.ending != "waiting":
            self._study.end(job.trial)
        self.state.save(self.folder)
        self._changed()
        self._require_some_success()

    def _require_some_success(self) -> None:
        """Raise UserError if the first trials have failed for the same reason, which then is that of the sweep."""
        ended = [trial for trial in self.state.trials if trial.ending != "waiting"]
        reasons = {trial.sentence.replace(run.name, "") for trial in ended for run in trial.runs[:1]}
        if len(ended) >= min(ALIKE, self._wanted) and all(trial.sentence for trial in ended) and len(reasons) == 1:
            logs = self.folder.path / LOGS
            raise UserError(f"all trials fail alike (output in {logs}): {ended[0].sentence}")


@contextmanager
def claimed(plan: Plan) -> Iterator[Folder]:
    """Make the folder of a sweep and lock it against other sweeps. Raises UserError if that is not possible."""
    folder = Folder(plan.folder)
    try:
        make_folders(folder.path / LOGS)
        with FileLock(folder.at(".lock"), timeout=0):
            folder.remove_leftovers()
            yield folder
    except Timeout as error:
        raise UserError(f"{folder.path}: another sweep is writing here: wait for it, or set another name") from error
