"""The pictures of a report. Drawn on canvases of their own: nothing here touches pyplot's global state."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from ..run.history import TrainingHistory

# One grey that is readable on white and on near-black: the pictures are transparent and serve both looks of the page.
GREY = "#7b8591"
BLUE = "#3f83d6"
ORANGE = "#e0752d"
GREEN = "#3a9d78"
INK = "#1d2733"
HEAT = LinearSegmentedColormap.from_list("heat", ["#eef4fb", "#9cc3ec", "#3f83d6", "#17427c"])

DOTS_PER_INCH = 144
MOST_COUNTS = 40
"""Labels up to which a confusion matrix writes its counts; beyond, the colours alone tell."""
LONGEST_LABEL = 24

# Fonts with Chinese, Japanese and Korean letters, the first that is installed is used behind the default one.
CJK_FONTS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "PingFang SC", "Hiragino Sans", "Microsoft YaHei",
    "SimHei", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Arial Unicode MS",
)  # fmt: skip


def loss_curve(history: TrainingHistory, path: Path) -> Path:
    """Loss of training and of validation by step."""
    with canvas(6.4, 3.4, path) as axes:
        line(axes, history.values("train", "loss"), BLUE, "training")
        line(axes, history.values("validation", "loss"), ORANGE, "validation", marker="o")
        axes.set(title="Loss", xlabel="step")
        axes.legend(frameon=False)
    return path


def metric_curve(history: TrainingHistory, metric: str, path: Path) -> Path:
    """The metric on the validation data by step, with the best step marked."""
    with canvas(6.4, 3.4, path) as axes:
        line(axes, history.values("validation", metric), ORANGE, metric, marker="o")
        if best := history.best(metric):
            step, value = best
            axes.axvline(step, color=GREY, linestyle=":", linewidth=1)
            axes.plot(step, value, "o", markersize=10, markerfacecolor="none", markeredgecolor=ORANGE)
            axes.annotate(f"{value:.4f} at step {step:,}", best, (0, -20), textcoords="offset points", ha="center")
        axes.set(title=f"{metric} on validation", xlabel="step")
        axes.margins(x=0.15, y=0.25)
    return path


def learning_rate(history: TrainingHistory, path: Path) -> Path:
    """Learning rate by step, small: it is looked at when the loss looks odd."""
    with canvas(6.4, 1.6, path) as axes:
        line(axes, history.values("train", "lr"), GREY, "")
        axes.set(title="Learning rate", xlabel="step")
        axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    return path


def confusion_matrix(matrix: dict[str, Any], path: Path) -> Path:
    """Counts in cells, coloured by the share of their row: rows of rare labels stay visible."""
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
            write_counts(axes, counts, shares)
    return path


def stage_matrix(content: dict[str, Any], path: Path) -> Path:
    """Scores of the model after each stage on the data of every stage; on the diagonal what has just been learnt."""
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
            text = "-" if np.isnan(score) else f"{score:.3f}"
            weight = "bold" if row == column else "normal"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=11, fontweight=weight)
    return path


def scatter(points: dict[str, Any], path: Path) -> Path:
    """Predictions against the truth; on the dotted line they are equal."""
    with canvas(4.6, 4.6, path) as axes:
        axes.plot(points["true"], points["predicted"], "o", color=BLUE, markersize=4, alpha=0.4, markeredgewidth=0)
        axes.axline((points["true"][0], points["true"][0]), slope=1, color=GREY, linestyle=":", linewidth=1)
        axes.set(xlabel="true", ylabel="predicted")
    return path


def write_counts(axes: Axes, counts: Any, shares: Any) -> None:
    """The counts, dark on light cells and light on dark ones; zeros are left out, they only hide the others."""
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if shares[row, column] > 0.5 else INK
        text = f"{int(counts[row, column]):,}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9 if len(text) < 6 else 7)


def line(axes: Axes, points: list[tuple[int, float]], colour: str, label: str, marker: str = "") -> None:
    """A curve, if there are points; a single point is shown as a dot."""
    if points:
        steps, values = zip(*points, strict=True)
        marker = marker or ("o" if len(points) == 1 else "")
        axes.plot(steps, values, color=colour, label=label, marker=marker, markersize=5)


def shortened(label: str) -> str:
    """A label that leaves room for the picture."""
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"


@contextmanager
def canvas(width: float, height: float, path: Path) -> Iterator[Axes]:
    """The only axes of a new picture, in inches; it is written to `path` at the end."""
    with sheet(width, height, path) as figure:
        yield figure.add_subplot()


@contextmanager
def sheet(width: float, height: float, path: Path) -> Iterator[Figure]:
    """A new picture, in inches; it is written to `path` at the end."""
    style: dict[Any, Any] = {  # matplotlib spells out the type of these keys from 3.11 on
        "font.family": fonts(),
        "font.size": 10,
        "text.parse_math": False,  # a dollar in a label is a dollar
        "text.color": GREY,
        "axes.edgecolor": GREY,
        "axes.labelcolor": GREY,
        "axes.titlecolor": GREY,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "axes.titlesize": 11,
        "axes.grid": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": GREY,
        "grid.alpha": 0.2,
        "xtick.color": GREY,
        "ytick.color": GREY,
    }
    with matplotlib.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Glyph.*missing from.*font")
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        figure.savefig(path, dpi=DOTS_PER_INCH, transparent=True)


def fonts() -> list[str]:
    """The default font and, behind it, one for letters that it lacks."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *[name for name in CJK_FONTS if name in installed][:1]]
