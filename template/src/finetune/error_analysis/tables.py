"""Tables of errors, for the terminal and the report: the most confident mistakes, and how often which kind occurs."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..console import notice
from ..data.rows import Row
from ..parsing import shortened
from ..tasks.base import Task
from ..tasks.evaluation import Evaluation
from ..tasks.intervals import Array
from ..tasks.results import ErrorKind, Table, WrongPrediction
from .slices import slice_table

SHOWN = 10
"""Mistakes, and kinds of errors, that the report shows."""
EXAMPLES = 2
"""Examples of each kind of error."""
LONGEST = 200
"""Characters of a text that a table shows."""
MISTAKES, KINDS, PAIRS = "Most confident mistakes", "Errors by kind", "Most frequent errors"
"""Titles of the tables."""
SPANS = (
    "type: the same words, but another type. boundary: overlapping words. missed: a true entity for which no "
    "overlapping prediction is left. invented: the reverse (Nejadgholi et al. 2020)."
)

Cells = list[str | int | float]


@dataclass(frozen=True, slots=True)
class Scored:
    """The labelled examples of a split, and the predictions of a model."""

    task: Task[Any, Any]
    rows: Sequence[Row]
    examples: Sequence[Any]
    predictions: Sequence[Any]
    slices: Sequence[str] = ()
    """`data.slices` of the config."""

    def errors(self) -> list[WrongPrediction]:
        """What is wrong, the largest errors first; nothing for a task of one's own that has no rule for it."""
        if type(self.task).errors is Evaluation.errors:
            return []
        return sorted(self.task.errors(self.examples, self.predictions), key=lambda error: -error.magnitude)

    def first_rows(self) -> list[Row]:
        """The row of each example, or the first of them."""
        return [self.rows[row] for row in self.task.first_rows(self.examples)]


def error_tables(scored: Scored, more: str) -> list[Table]:
    """What the report shows: errors, with the command that shows more of them, and slices; nothing without errors."""
    task, rows, errors = scored.task, scored.rows, scored.errors()
    tables = [mistakes(task, rows, errors[:SHOWN], f"To see more, run: {more}")] if errors else []
    return [*tables, *kinds_of_errors(task, rows, errors, SHOWN), *by_metric(scored, SHOWN)]


def by_metric(scored: Scored, count: int) -> list[Table]:
    """The slices, and of a ranking the queries with the lowest main metric."""
    task = scored.task
    if not (scored.slices or task.groups_rows):
        return []
    contributions = task.contributions(scored.examples, scored.predictions)
    value = task.score(scored.examples, scored.predictions).metrics[task.main_metric]
    if not task.has_headline(contributions, value):
        notice(f"data.slices: {task.main_metric} is no function of sums over examples, so it is not shown for slices")
        return []
    tables = [slice_table(task, scored.slices, scored.first_rows(), scored.examples, contributions)]
    return [*tables * bool(scored.slices), *([_worst_lists(scored, contributions, count)] * task.groups_rows)]


def _worst_lists(scored: Scored, contributions: Array, count: int) -> Table:
    """The queries with the lowest main metric, without those for which every order is as good."""
    task, rows = scored.task, scored.first_rows()
    values = task.headline(contributions)
    order = [number for number in np.argsort(values, kind="stable").tolist() if contributions[number].any()][:count]
    lines: list[Cells] = [
        [rows[number].place, cut(next(iter(task.texts([scored.examples[number]])))), float(values[number])]
        for number in order
    ]
    return Table("Worst queries", ["place", "query", task.main_metric], lines)


def mistakes(task: Task[Any, Any], rows: Sequence[Row], errors: Sequence[WrongPrediction], note: str = "") -> Table:
    """The errors in their order."""
    return place_table(
        MISTAKES if task.error_measure == "probability" else "Largest errors",
        task.error_measure,
        [(rows[one.row].place, one.text, one.truth, one.prediction, one.magnitude) for one in errors],
        note,
    )


def place_table(title: str, measure: str, rows: Sequence[tuple[str, str, str, str, float]], note: str = "") -> Table:
    """Places with text, truth, prediction and a number; without the prediction where no row has one."""
    columns = ["place", "text", "true", "predicted", measure]
    cells: list[Cells] = [[place, *map(cut, texts), number] for place, *texts, number in rows]
    if not any(row[3] for row in rows):
        columns.pop(3)
        for line in cells:
            line.pop(3)
    return Table(title, columns, cells, note)


def kinds_of_errors(
    task: Task[Any, Any], rows: Sequence[Row], errors: Sequence[WrongPrediction], count: int
) -> list[Table]:
    """How often each kind of error occurs, and the most frequent ones with examples, those of `errors` first.

    None for a task without kinds.
    """
    found: dict[ErrorKind, list[WrongPrediction]] = defaultdict(list)
    for error in errors:
        for kind in error.kinds:
            found[kind].append(error)
    if not found:
        return []
    by_kind: dict[str, int] = defaultdict(int)
    for kind, examples in found.items():
        by_kind[kind.kind] += len(examples)
    tables, total = [], sum(by_kind.values())
    if [*by_kind] != ["confusion"]:
        lines: list[Cells] = [[kind, number, number / total] for kind, number in _frequent(by_kind.items())]
        tables.append(Table(KINDS, ["kind", "count", "share"], lines, SPANS if task.splits_into_words else ""))
    most = sorted(found, key=lambda kind: (-len(found[kind]), kind))[:count]
    lines = [[kind.kind, kind.detail, len(found[kind]), _examples(rows, found[kind])] for kind in most]
    columns = ["kind", "error", "count", "for example"]
    if [*by_kind] == ["confusion"]:
        columns, lines = ["true → predicted", *columns[2:]], [line[1:] for line in lines]
    tables.append(Table(PAIRS, columns, lines))
    return tables


def cut(text: str) -> str:
    """A text as a cell: on one line, without its middle where it is long."""
    return shortened(" ".join(text.split()), LONGEST)


def _frequent(counts: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted(counts, key=lambda pair: (-pair[1], pair[0]))


def _examples(rows: Sequence[Row], errors: Sequence[WrongPrediction]) -> str:
    """The places and texts of the first different ones."""
    chosen = list({error.row: error for error in errors}.values())[:EXAMPLES]
    return "; ".join(f"{rows[one.row].place}: {shortened(' '.join(one.text.split()), LONGEST // 2)}" for one in chosen)
