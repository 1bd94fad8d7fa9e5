"""Read the training log, metrics.jsonl."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import UserError
from .records import Logged

Record = dict[str, Any]
NO_METRIC = {"kind", "step", "epoch", "loss", "seconds", "best"}


@dataclass(frozen=True)
class TrainingHistory:
    """The records of a training, oldest first."""

    train: list[Record] = field(default_factory=list)
    validation: list[Record] = field(default_factory=list)
    spike: list[Record] = field(default_factory=list)
    """Steps whose loss was far above those before."""

    def values(self, kind: Literal["train", "validation"], name: str) -> list[tuple[int, float]]:
        """(step, value) of every record that has a finite value of that name."""
        records = self.train if kind == "train" else self.validation
        found = [(record["step"], record.get(name)) for record in records]
        return [(step, value) for step, value in found if value is not None and math.isfinite(value)]

    def first_metric(self) -> str | None:
        """The first metric of the validation records, which chose the best step; the main one where the loss did."""
        return next((name for record in self.validation for name in record if name not in NO_METRIC), None)

    def best(self, metric: str | None) -> tuple[int, float] | None:
        """(step, value) of `metric` at the last validation that was the best so far, whose model was kept."""
        kept = [record for record in self.validation if record.get("best") and metric in record]
        return (kept[-1]["step"], kept[-1][metric]) if metric and kept else None


def read_history(path: Path) -> TrainingHistory:
    """Read metrics.jsonl; a missing file is an empty history.

    A broken last line is dropped: the process was killed while writing it. Raises UserError for any other broken line.
    """
    history = TrainingHistory()
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    for number, line in enumerate(lines, start=1):
        try:
            record = Logged.model_validate_json(line)
            records = {"train": history.train, "validation": history.validation, "spike": history.spike}[record.kind]
            records.append(record.model_dump(exclude_unset=True))
        except ValueError as error:
            if number < len(lines):
                raise UserError(f"{path}:{number}: not a record of a training: remove the line") from error
    return history
