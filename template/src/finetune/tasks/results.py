"""Results of an evaluation: metrics, tables, matrices; and the summary of an example. Free of torch."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple

INTERVAL = "95 % interval"
"""Name of the interval of a main metric."""
MOST_NAMED = 10
"""Absent labels that a note names."""


@dataclass(slots=True)
class Table:
    """A table of an evaluation. Proportions and scores are floats, counts are ints."""

    title: str
    columns: list[str]
    rows: list[list[str | int | float]]
    note: str = ""

    def _repr_html_(self) -> str:
        """What Jupyter shows. A dollar sign in a text starts no formula."""
        lines = [_html_line("th", self.columns), *(_html_line("td", row) for row in self.rows)]
        table = f"<table><caption>{escape(self.title)}</caption>{''.join(lines)}</table>"
        return f'<div class="tex2jax_ignore mathjax_ignore">{table}<p>{escape(self.note)}</p></div>'


@dataclass(slots=True)
class ConfusionMatrix:
    """A confusion matrix: `counts[true][predicted]`."""

    title: str
    labels: list[str]
    counts: list[list[int]]
    row_label: str = "true"
    column_label: str = "predicted"


@dataclass(slots=True)
class Scatter:
    """Predictions against the truth, a point an example."""

    title: str
    true: list[float]
    predicted: list[float]


@dataclass(slots=True)
class Curves:
    """Lines over a common `x`, by name, and the `chosen` x."""

    title: str
    x_label: str
    x: list[float]
    lines: dict[str, list[float]]
    chosen: float


@dataclass(slots=True)
class Scores:
    """Metrics by their stable names, with tables and plots."""

    metrics: dict[str, float]
    tables: list[Table] = field(default_factory=list)
    matrices: list[ConfusionMatrix] = field(default_factory=list)
    scatters: list[Scatter] = field(default_factory=list)
    curves: list[Curves] = field(default_factory=list)


def interval_text(interval: Sequence[float] | None) -> str:
    """Low to high; nothing where there is no interval."""
    return f"{interval[0]:z.4f} to {interval[1]:z.4f}" if interval else ""


def _html_line(tag: str, cells: Sequence[str | int | float]) -> str:
    """A line of an HTML table, with line breaks as in the texts."""
    shown = (escape(f"{cell:z.4f}" if isinstance(cell, float) else str(cell)) for cell in cells)
    opening = f'<{tag} style="text-align: left; vertical-align: top; white-space: pre-wrap">'
    return f"<tr>{''.join(f'{opening}{cell}</{tag}>' for cell in shown)}</tr>"


def macro_note(labels: Sequence[str], present: Sequence[str], note: str = "") -> str:
    """`note`, and which labels the macro averages leave out, because no example of the split has them."""
    absent = [label for label in labels if label not in present]
    if not absent:
        return note
    more = f" and {len(absent) - MOST_NAMED} more" if len(absent) > MOST_NAMED else ""
    names = ", ".join(absent[:MOST_NAMED])
    return f"{note} Macro averages leave out what does not occur in these data: {names}{more}.".lstrip()


class ErrorKind(NamedTuple):
    """What is wrong in a prediction, in words that can be counted."""

    kind: str
    """Such as confusion, missed or invented."""
    detail: str
    """Of what: a label, a type of entities, or two of them, `true → predicted`."""


@dataclass(frozen=True, slots=True)
class WrongPrediction:
    """A labelled example that the model predicts wrongly."""

    row: int
    """Index of its row, or of the row of the document, among those that the examples were parsed from."""
    text: str
    truth: str
    prediction: str
    magnitude: float
    """How large the error is. Where the task has probabilities, the one that the model gives to what is wrong."""
    kinds: tuple[ErrorKind, ...] = ()
    """The errors in it, for tasks that tell kinds of them."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A labelled example as `check-data` sees it, whatever the task."""

    texts: tuple[str, ...]
    """The input texts."""
    answer: str = ""
    """The target in words: equal texts with different answers are conflicting labels."""
    labels: tuple[str, ...] = ()
    """Names for the class balance, each as often as it occurs: labels, types of entities, ..."""
    number: float | None = None
    """The target, for a task whose target is a number."""
    generates: bool = False
    """Whether the answer is a text that the model learns to generate, of which there may be several good ones."""

    undecided: bool = False
    """Whether an example that compares two texts has equal ones."""

    others: tuple[float | str | None, ...] = ()
    """Tabular features, which belong to the input as well."""

    @property
    def key(self) -> tuple[str, ...]:
        """The texts without differences of white space and Unicode composition: equal keys are exact duplicates."""
        texts = [" ".join(unicodedata.normalize("NFC", text).split()) for text in self.texts]
        # An equal text is the text itself, so that it is in memory once.
        same = (text if text == key else key for text, key in zip(self.texts, texts, strict=True))
        return (*same, *map(str, self.others))
