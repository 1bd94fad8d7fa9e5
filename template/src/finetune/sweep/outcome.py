"""The outcome of a sweep: results of all trials, the best config, the picture of importance, the look at the test."""

import json
import statistics
import threading
from importlib.util import find_spec
from pathlib import Path

import yaml
from rich.console import Console
from rich.markup import escape

from ..console import print_line
from ..errors import FAILED, INTERRUPTED, OK, UserError
from ..files import Folder
from ..plotting import BLUE, canvas
from ..run.folder import RunFolder
from .child import Child
from .settings import Plan
from .show import setting, table
from .state import State, TestScores, Trial, TrialRun
from .study import Study
from .sweep import LOGS, POLL

RESULTS, BEST, IMPORTANCE = "trials.jsonl", "best.yaml", "importance.svg"


def write_results(state: State, folder: Folder) -> Path:
    """Write a JSON line for each trial, the best first."""
    ranked = state.ranked()
    lines = [
        {
            "trial": trial.number,
            "state": trial.ending,
            **trial.values,
            "metric": state.metric,
            "mean": trial.mean,
            "spread": trial.spread,
            "values": trial.scores,
            "runs": [str(folder.path / run.name) for run in trial.runs],
            **({"error": trial.sentence} if trial.sentence else {}),
        }
        for trial in (*ranked, *(trial for trial in state.trials if trial not in ranked))
    ]
    return folder.write(RESULTS, "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines))


def write_best(plan: Plan, state: State, folder: Folder, best: Trial) -> Path:
    """Write the config of the best trial, with the keys that the base config and the trial set."""
    config = plan.config(best.values)
    name = f"{folder.path.name}-best"
    values = config.model_copy(update={"run": plan.base.run.model_copy(update={"name": name})})
    text = yaml.safe_dump(
        values.model_dump(mode="json", exclude_unset=True), sort_keys=False, allow_unicode=True, width=120
    )
    spread = f" (sample standard deviation {best.spread:.4f})" if best.spread is not None else ""
    head = (
        f"# python -m finetune train {folder.path.as_posix()}/{BEST}\n"
        f"# Trial {best.number} of {plan.file.as_posix()}: validation {state.metric} {best.mean:.4f}{spread}.\n"
    )
    return folder.write(BEST, f"{head}\n{text}")


def draw_importance(plan: Plan, state: State, folder: Folder) -> Path | None:
    """Draw how much of the metric's variance each varied key explains; None if that is not known."""
    shares = Study(plan, state).importances() if len(plan.sweep.varied) > 1 else {}
    if not shares:
        return None
    path = folder.at(IMPORTANCE)
    names = [*shares][::-1]
    with canvas(6.4, 1.1 + 0.35 * len(names), path) as axes:
        axes.barh(names, [shares[name] for name in names], color=BLUE)
        axes.set_xlim(0, 1)
        axes.set_xlabel(f"share of the variance of {state.metric} (fANOVA, {len(state.ranked())} trials)")
        axes.grid(visible=False, axis="y")
    return path


def look_at_test(plan: Plan, state: State, folder: Folder, best: Trial, stopped: threading.Event) -> bool:
    """Evaluate the runs of the best trial on the test data, once; False if `stopped` was set before the end.

    Raises UserError if that fails.
    """
    if state.test and (state.test.trial, len(state.test.metrics)) == (best.number, len(best.runs)):
        return True
    evaluations = []
    for run in best.runs:
        if stopped.is_set() or not _evaluated(plan, folder, run, stopped):
            return False
        path = RunFolder(folder.path / run.name)
        evaluations.append(next(found for found in path.evaluations() if found["split"] == "test"))
    headline = evaluations[0]["headline"]
    state.test = TestScores(trial=best.number, headline=headline, metrics=[one["metrics"] for one in evaluations])
    state.save(folder)
    return True


def _evaluated(plan: Plan, folder: Folder, run: TrialRun, stopped: threading.Event) -> bool:
    """Evaluate a run on the test data in a process of its own; False if that was stopped."""
    allowance = ["--trust-remote-code"] if plan.base.model.trust_remote_code else []
    command = ["evaluate", str(folder.path / run.name), "--split", "test", *allowance]
    child = Child(command, folder.inner(LOGS).at(f"{run.name}-test.txt"), {})
    try:
        while child.code is None and not stopped.is_set():
            stopped.wait(POLL)
    finally:
        if child.code is None:
            child.kill()
    if not stopped.is_set() and child.code != OK:
        raise UserError(f"{folder.path / run.name}: cannot be evaluated on the test data: {child.sentence()}")
    return child.code == OK


def conclude(plan: Plan, state: State, folder: Folder, console: Console, stopped: threading.Event) -> int:
    """Write and show the outcome of a sweep that has ended; returns the exit code."""
    results = write_results(state, folder)
    console.print(table(plan, state), highlight=False)
    if not (ranked := state.ranked()):
        print_line(console, f"no trial has finished: see {escape(str(folder.path / LOGS))}")
        return FAILED
    best = ranked[0]
    spread = f" (sample standard deviation {best.spread:.4f})" if best.spread is not None else ""
    equal = [str(trial.number) for trial in ranked[1:] if trial.mean == best.mean]
    tied = f" (the same {state.metric}: {', '.join(equal)})" if equal else ""
    chosen = f"trial {best.number} of {len(ranked)} that finished{tied}: {setting(plan, best)}"
    print_line(console, f"[bold]Best:[/] {escape(f'{chosen}: {state.metric} {best.mean:z.4f}{spread}')}")
    print_line(console, escape(f"results: {results}, config of the best: {write_best(plan, state, folder, best)}"))
    if find_spec("optuna") is None:
        print_line(console, "importance of the keys: needs optuna: pip install -c constraints.txt optuna")
    elif picture := draw_importance(plan, state, folder):
        print_line(console, f"importance of the keys: {escape(str(picture))}")
    if plan.base.data.test is None:
        print_line(console, "test: data.test is not set")
        return OK
    if not look_at_test(plan, state, folder, best, stopped) or state.test is None:
        return INTERRUPTED
    names = dict.fromkeys((state.test.headline, *({state.metric} & state.test.metrics[0].keys())))
    measured = "  ".join(_mean(name, [float(metrics[name]) for metrics in state.test.metrics]) for name in names)
    print_line(console, f"[bold]Test:[/] {escape(measured)} (trial {best.number}; it did not take part in the choice)")
    return OK


def _mean(name: str, values: list[float]) -> str:
    """A metric, over several seeds with its spread."""
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{name} {statistics.fmean(values):z.4f}{spread}"
