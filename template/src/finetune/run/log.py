"""Training log: a progress line on the terminal, metrics.jsonl for programs, TensorBoard for curves."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from .. import optional
from ..config.config import Config
from ..errors import UserError
from ..system_errors import naming
from .folder import RunFolder
from .history import NO_METRIC
from .kubeflow import TrainJobStatus

LIVE_LINE = "loss {loss:.3f}  lr {lr:.1e}  {examples_per_second:.0f} ex/s  {tokens_per_second:.0f} tok/s"
"""Shown by a terminal, on which the bar and the remaining time need room, too: 80 columns are usual."""
LINE = (
    "loss {loss:.3f}  lr {lr:.1e}  norm {grad_norm:.2f}  {examples_per_second:.0f} ex/s  "
    "{tokens_per_second:.0f} tok/s  pad {padding:.0%}"
)
TRAIN_TAGS = {
    "loss": "train/loss",
    "lr": "weight_update/learning_rate",
    "grad_norm": "weight_update/gradient_norm",
    "skipped_steps": "weight_update/skipped_steps",
    "examples_per_second": "workload/examples_per_second",
    "tokens_per_second": "workload/tokens_per_second",
    "padding": "workload/padding",
}
"""Tags of the training in TensorBoard, which sorts its cards by them: first the losses and the main metric."""
HYPERPARAMETERS = ("task", "model", "method", "optim", "train", "continual")
"""Sections of the config that TensorBoard's table of hyperparameters shows."""


class TrainingLog:
    """Writes each record to all three. A terminal has one live line; other output has a line per record."""

    def __init__(
        self, run: RunFolder, console: Console, total_steps: int, done: int, trackers: Sequence[str] = ()
    ) -> None:
        self.console = console
        self._run, self._trackers = run, trackers
        self._drop_after(run, done)
        self._path = run.metrics_file
        self._file = run.append(self._path.name)
        # In the folder of the run itself, because TensorBoard calls a run by the folder of its events.
        self._board = SummaryWriter(str(run.path), purge_step=done + 1 if done else None)
        if not done and self._board.file_writer:
            # Without the experiment, which would fix the columns of all runs to those of this one.
            _, session, _ = hparams(hyperparameters(run.config()), {})
            self._board.file_writer.add_summary(session)
        columns = (TextColumn("{task.completed}/{task.total}"), BarColumn(12), TextColumn("{task.fields[line]}"))
        remaining = TimeRemainingColumn(table_column=Column(min_width=len("0:00:00")))
        self._bar = Progress(*columns, remaining, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("train", total=total_steps, completed=done, line="")
        self._total = total_steps
        self._job = TrainJobStatus(console, total_steps, done)

    @staticmethod
    def _drop_after(run: RunFolder, step: int) -> None:
        """Delete records after the checkpoint that the run resumes from: those steps are repeated."""
        for events in run.path.glob("events.out.tfevents.*") if not step else ():
            run.remove(events.name)  # there is no step to purge from
        if run.metrics_file.exists():
            lines = run.read(run.metrics_file.name).splitlines()
            kept = [line for line in lines if _step_of(line) <= step]
            run.write(run.metrics_file.name, "".join(f"{line}\n" for line in kept))

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show the progress line inside the block, and close the files at its end."""
        beside = optional.find("track", "beside")
        tracked = beside.tracked(self._run, self._trackers, self.console) if beside else nullcontext()
        with self._bar, self._job.sent(), tracked:
            try:
                yield
            finally:
                with naming(self._path):
                    with suppress(FileNotFoundError):  # where the folder is gone, another error says so
                        self._board.close()
                    self._file.close()

    def advance(self, step: int) -> None:
        """Update the progress bar. Raises UserError if the folder of the run is gone, before a new one is made."""
        if not self._run.config_file.is_file():
            raise UserError(f"{self._run.path}: was removed or renamed during the training: put it back to resume")
        self._bar.update(self._task, completed=step)
        self._job.advance(step)

    def step(self, record: dict[str, Any]) -> None:
        """Log a training record: step, epoch, loss, lr, grad_norm, examples_per_second, tokens_per_second, padding."""
        self._write({"kind": "train", **record})
        values = {name: record[name] for name in TRAIN_TAGS if name in record}
        self._show({TRAIN_TAGS[name]: value for name, value in values.items()}, record["step"])
        self._job.add(values)
        self._bar.update(self._task, line=LIVE_LINE.format(**record))
        if not self.console.is_terminal:
            line = LINE.format(**record)
            self.console.print(f"step {record['step']}/{self._total}  {line}", highlight=False, soft_wrap=True)

    def spike(self, record: dict[str, Any]) -> None:
        """Log a spike: step, its loss, the largest loss of the steps before, the examples."""
        self._write({"kind": "spike", **record})
        loss = f"loss {record['loss']:.4g}, at most {record['largest_before']:.4g} in the steps before"
        line = f"[yellow]step {record['step']}: spike: {loss}: {escape(record['examples'])}[/]"
        self.console.print(line, highlight=False, soft_wrap=True)

    def validation(self, record: dict[str, Any], shown: Sequence[str]) -> None:
        """Log a validation record: step, epoch, loss, the task's metrics, and whether it is the best so far.

        The metrics in `shown` stand in the line of the terminal, and first in TensorBoard.
        """
        self._write({"kind": "validation", **record})
        metrics = {name: value for name, value in record.items() if name not in NO_METRIC}
        first = {"loss": record["loss"], **{name: metrics.pop(name) for name in shown}}
        cards = {"validation": first, "validation_best": first if record["best"] else {}, "validation_metrics": metrics}
        tags = {f"{group}/{name}": value for group, some in cards.items() for name, value in some.items()}
        self._show(tags, record["step"])
        self._job.add({f"validation_{name}": value for name, value in first.items()})
        mark = "  [green]best so far[/]" if record["best"] else ""
        values = "  ".join(f"{name} {record[name]:z.4f}" for name in shown)
        self.console.print(
            f"epoch {record['epoch']:.2f}  step {record['step']}: validation loss {record['loss']:.4f}  "
            f"[bold]{values}[/]{mark}",
            highlight=False,
            soft_wrap=True,
        )

    def _write(self, record: dict[str, Any]) -> None:
        with naming(self._path):
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()

    def _show(self, tags: dict[str, float], step: int) -> None:
        """Write a point of each curve for TensorBoard."""
        with naming(self._path.parent):  # a file of its own, whose name TensorBoard chooses
            for tag, value in tags.items():
                self._board.add_scalar(tag, value, step)
            self._board.flush()


class NullLog(TrainingLog):
    """The log of ranks other than the main one: writes and shows nothing."""

    def __init__(self) -> None:
        pass

    @contextmanager
    def live(self) -> Iterator[None]:
        yield

    def advance(self, step: int) -> None:
        pass

    def step(self, record: dict[str, Any]) -> None:
        pass

    def spike(self, record: dict[str, Any]) -> None:
        pass

    def validation(self, record: dict[str, Any], shown: Sequence[str]) -> None:
        pass


def hyperparameters(config: Config) -> dict[str, str | int | float | bool]:
    """The single values of the config that may change the result, by keys such as `optim.lr`."""
    sections = config.model_dump(mode="json", include=set(HYPERPARAMETERS))
    return {
        f"{section}.{key}": value
        for section, values in sections.items()
        for key, value in values.items()
        if isinstance(value, (str, int, float, bool))
    }


def _step_of(line: str) -> float:
    """The step of a record; infinite for a line that is none, as one that a kill has cut, so that it is deleted."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return float("inf")
