"""Training log: a progress line on the terminal, metrics.jsonl for programs, TensorBoard for curves."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from ..files import write_atomic
from .folder import RunFolder

LINE = (
    "loss {loss:.3f}  lr {lr:.1e}  norm {grad_norm:.2f}  {examples_per_second:.0f} ex/s  "
    "{tokens_per_second:.0f} tok/s  pad {padding:.0%}"
)


class TrainingLog:
    """Writes each record to all three. A terminal has one live line; other output has a line per record."""

    def __init__(self, run: RunFolder, console: Console, total_steps: int, done: int) -> None:
        self.console = console
        self._drop_after(run, done)
        self._file = run.metrics_file.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(run.path / "tensorboard"), purge_step=done + 1 if done else None)
        columns = (TextColumn("{task.completed}/{task.total}"), BarColumn(12), TextColumn("{task.fields[line]}"))
        self._bar = Progress(
            *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
        )
        self._task = self._bar.add_task("train", total=total_steps, completed=done, line="")
        self._total = total_steps

    @staticmethod
    def _drop_after(run: RunFolder, step: int) -> None:
        """Delete records after the checkpoint that the run resumes from: those steps are repeated."""
        if run.metrics_file.exists():
            lines = run.metrics_file.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if _step_of(line) <= step]
            write_atomic(run.metrics_file, "".join(f"{line}\n" for line in kept))

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show the progress line inside the block, and close the files at its end."""
        with self._bar:
            try:
                yield
            finally:
                self._board.close()
                self._file.close()

    def advance(self, step: int) -> None:
        """Update the progress bar."""
        self._bar.update(self._task, completed=step)

    def step(self, record: dict[str, Any]) -> None:
        """Log a training record: step, epoch, loss, lr, grad_norm, examples_per_second, tokens_per_second, padding."""
        self._write({"kind": "train", **record})
        line = LINE.format(**record)
        self._bar.update(self._task, line=line)
        if not self.console.is_terminal:
            self.console.print(f"step {record['step']}/{self._total}  {line}", highlight=False, soft_wrap=True)

    def validation(self, record: dict[str, Any], main_metric: str) -> None:
        """Log a validation record: step, epoch, loss, the task's metrics, and whether it is the best so far."""
        self._write({"kind": "validation", **record})
        mark = "  [green]best so far[/]" if record["best"] else ""
        self.console.print(
            f"epoch {record['epoch']:.2f}  step {record['step']}: validation loss {record['loss']:.4f}  "
            f"[bold]{main_metric} {record[main_metric]:z.4f}[/]{mark}",
            highlight=False,
        )

    def _write(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        for name, value in record.items():
            if name not in ("kind", "step", "best"):
                self._board.add_scalar(f"{record['kind']}/{name}", value, record["step"])
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

    def validation(self, record: dict[str, Any], main_metric: str) -> None:
        pass


def _step_of(line: str) -> float:
    """The step of a record; infinite for a line truncated by a kill, so that it is deleted."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):
        return float("inf")
