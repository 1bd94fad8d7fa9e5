"""What a sweep shows: a live table on a terminal, otherwise a line for each training that starts or ends."""

import json
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..console import print_line
from .settings import Plan
from .state import State, Trial

SHOWN = 15
"""The best trials, so many, are in the live table, beside those that are running."""


class Display:
    """Follows the state of a sweep."""

    def __init__(self, console: Console, plan: Plan, state: State, wanted: int) -> None:
        self.console = console
        self._plan, self._state, self._wanted = plan, state, wanted
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._told = {run.name: str(run.ending) for trial in state.trials for run in trial.runs}
        """What was said last of each run."""

    def start(self) -> None:
        """Begin with the table."""
        if self._live:
            self._live.start()

    def stop(self) -> None:
        """Remove the live table."""
        if self._live:
            self._live.stop()

    def update(self, running: set[str]) -> None:
        """Show what has changed; `running` are the names of the runs that are trained now."""
        if self._live:
            self._live.update(table(self._plan, self._state, SHOWN), refresh=True)
        for trial in self._state.trials:
            for run in trial.runs:
                now = "starts" if run.name in running else str(run.ending)
                if now in (self._told.get(run.name), "waiting"):
                    continue
                self._told[run.name] = now
                where = f"trial {trial.number}/{self._wanted} seed {run.seed}"
                if run.ending == "failed":
                    print_line(self.console, f"[red]{where}: failed: {escape(run.sentence)}[/]")
                elif not self._live:
                    value = f": {self._state.metric} {run.value:z.4f}" if run.ending == "finished" else ""
                    print_line(self.console, escape(f"{where} ({setting(self._plan, trial)}) {now}{value}"))


def table(plan: Plan, state: State, most: int | None = None) -> Table:
    """The trials, the best first."""
    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    several = plan.sweep.seeds > 1
    keys = plan.sweep.varied
    for name in ("trial", *keys, state.metric, *(["spread"] if several else [])):
        shown.add_column(Text(name), justify="right", overflow="fold")
    shown.add_column("")
    ranked = state.ranked()
    others = [trial for trial in state.trials if trial not in ranked and (most is None or trial.ending == "waiting")]
    for trial in (*ranked[:most], *others):
        scores = [float(run.value) for run in trial.runs if run.value is not None]
        known = sum(scores) / len(scores) if scores else None
        cells = [str(trial.number), *(shown_value(trial.values[key]) for key in keys), number(known)]
        state_of = (
            "best" if trial in ranked and trial.mean == ranked[0].mean else "" if trial in ranked else said(trial)
        )
        style = "bold" if state_of == "best" else "" if trial in ranked else "dim"
        shown.add_row(*map(Text, [*cells, *([number(trial.spread)] if several else []), state_of]), style=style)
    return shown


def said(trial: Trial) -> str:
    """How a trial stands that has not finished."""
    if trial.ending != "waiting":
        return trial.ending
    done = sum(run.ending == "finished" for run in trial.runs)
    return f"{done} of {len(trial.runs)} seeds" if len(trial.runs) > 1 else "running"


def setting(plan: Plan, trial: Trial) -> str:
    """The varied values of a trial in words."""
    return ", ".join(f"{key} {shown_value(trial.values[key])}" for key in plan.sweep.varied) or "the config's own"


def shown_value(value: Any) -> str:
    """A value of the config; a real number with four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def number(value: float | None) -> str:
    """A metric with four digits; empty if it is not known."""
    return "" if value is None else f"{value:z.4f}"
