"""What tasks return for people: metrics, tables, matrices; nothing here depends on torch."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Table:
    """A table of an evaluation. Shares and scores are floats, counts are ints."""

    title: str
    columns: list[str]
    rows: list[list[str | int | float]]
    note: str = ""


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
class Scores:
    """Metrics by their stable names, and what a person wants to see beside them."""

    metrics: dict[str, float]
    tables: list[Table] = field(default_factory=list)
    matrices: list[ConfusionMatrix] = field(default_factory=list)
    scatters: list[Scatter] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Summary:
    """An example as `check-data` looks at it, whatever the task."""

    texts: tuple[str, ...]
    """What the model reads."""
    answer: str = ""
    """What it is to say of that, in words: where the texts are the same, so should this be."""
    labels: tuple[str, ...] = ()
    """The names whose balance is of interest, each as often as it occurs: labels, types of entities, ..."""
    number: float | None = None
    """For a task whose answer is a number: that number."""
    writes: bool = False
    """Whether the answer is a text that the model learns to write, and of which there may be several good ones."""
