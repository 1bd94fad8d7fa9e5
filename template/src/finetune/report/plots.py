"""The plots of a report."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from ..plotting import BLUE, GREY, ORANGE, canvas, shortened
from ..run.history import TrainingHistory

INK = "#1d2733"
HEAT = LinearSegmentedColormap.from_list("heat", ["#eef4fb", "#9cc3ec", "#3f83d6", "#17427c"])

MOST_COUNTS = 40
"""Labels up to which a confusion matrix shows its counts; beyond, only colours."""


def loss_curve(history: TrainingHistory, path: Path) -> Path:
    """Training and validation loss by step."""
    with canvas(6.4, 3.4, path) as axes:
        _line(axes, history.values("train", "loss"), BLUE, "training")
        _line(axes, history.values("validation", "loss"), ORANGE, "validation", marker="o")
        axes.set(title="Loss", xlabel="step")
        axes.legend(frameon=False)
    return path


def metric_curve(history: TrainingHistory, metric: str, path: Path) -> Path:
    """A validation metric by step, the best step marked."""
    with canvas(6.4, 3.4, path) as axes:
        _line(axes, history.values("validation", metric), ORANGE, metric, marker="o")
        if best := history.best(metric):
            step, value = best
            axes.axvline(step, color=GREY, linestyle=":", linewidth=1)
            axes.plot(step, value, "o", markersize=10, markerfacecolor="none", markeredgecolor=ORANGE)
            axes.annotate(f"{value:z.4f} at step {step:,}", best, (0, -20), textcoords="offset points", ha="center")
        axes.set(title=f"{metric} on validation", xlabel="step")
        axes.margins(x=0.15, y=0.25)
    return path


def learning_rate(history: TrainingHistory, path: Path) -> Path:
    """Learning rate by step."""
    with canvas(6.4, 1.6, path) as axes:
        _line(axes, history.values("train", "lr"), GREY, "")
        axes.set(title="Learning rate", xlabel="step")
        axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    return path


def confusion_matrix(matrix: dict[str, Any], path: Path) -> Path:
    """Counts, coloured by their share of the row (row-normalised), so that rare labels stay visible."""
    counts = np.asarray(matrix["counts"], dtype=float).reshape(len(matrix["labels"]), -1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    labels = [shortened(str(label)) for label in matrix["labels"]]
    size = len(labels)
    inches = min(2.2 + (0.62 if size <= 12 else 0.42) * size, 22.0)
    with canvas(inches, inches, path) as axes:
        axes.imshow(shares, cmap=HEAT, vmin=0, vmax=1)
        axes.set(xlabel=matrix["column_label"], ylabel=matrix["row_label"])
        axes.set_xticks(range(size), labels, rotation=40 if size > 3 else 0, ha="right" if size > 3 else "center")
        axes.set_yticks(range(size), labels)
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        if size <= MOST_COUNTS:
            _write_counts(axes, counts, shares)
    return path


def stage_matrix(content: dict[str, Any], path: Path) -> Path:
    """Score of the model after each stage (row) on the data of every stage (column); the stage just trained in bold."""
    scores = np.array([[np.nan if score is None else score for score in row] for row in content["matrix"]])
    names = [shortened(stage["name"]) for stage in content["stages"]]
    low, high = min(np.nanmin(scores), 0.0), max(np.nanmax(scores), 1.0)
    shares = (scores - low) / (high - low)
    if content["lower_is_better"]:
        shares = 1 - shares
    with canvas(2.6 + 1.1 * len(names), 1.6 + 0.62 * len(scores), path) as axes:
        axes.imshow(shares, cmap=HEAT, vmin=0, vmax=1, aspect="auto")
        axes.set(title=content["headline"])
        axes.set_xticks(range(len(names)), [f"on {name}" for name in names])
        axes.set_yticks(range(len(scores)), [f"after {name}" for name in names[: len(scores)]])
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        for (row, column), score in np.ndenumerate(scores):
            colour = "white" if shares[row, column] > 0.5 else INK
            text = "-" if np.isnan(score) else f"{score:z.3f}"
            weight = "bold" if row == column else "normal"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=11, fontweight=weight)
    return path


def scatter(points: dict[str, Any], path: Path) -> Path:
    """Predicted against true values; the dotted line is y = x."""
    with canvas(4.6, 4.6, path) as axes:
        axes.plot(points["true"], points["predicted"], "o", color=BLUE, markersize=4, alpha=0.4, markeredgewidth=0)
        axes.axline((points["true"][0], points["true"][0]), slope=1, color=GREY, linestyle=":", linewidth=1)
        axes.set(xlabel="true", ylabel="predicted")
    return path


def _write_counts(axes: Axes, counts: Any, shares: Any) -> None:
    """Write the counts other than 0 into the cells, dark on light and light on dark."""
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if shares[row, column] > 0.5 else INK
        text = f"{int(counts[row, column]):,}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9 if len(text) < 6 else 7)


def _line(axes: Axes, points: list[tuple[int, float]], colour: str, label: str, marker: str = "") -> None:
    """A curve; a single point as a dot, nothing for none."""
    if points:
        steps, values = zip(*points, strict=True)
        marker = marker or ("o" if len(points) == 1 else "")
        axes.plot(steps, values, color=colour, label=label, marker=marker, markersize=5)
