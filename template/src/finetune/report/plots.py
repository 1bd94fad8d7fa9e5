"""The plots of a report: curves of the training, and what an evaluation has to draw."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from ..plotting import BLUE, GREEN, GREY, ORANGE, canvas, legend_above
from ..run.history import TrainingHistory
from .words import Translate


def loss_curve(history: TrainingHistory, path: Path, _: Translate) -> Path:
    """Training and validation loss by step."""
    with canvas(6.4, 3.4, path) as axes:
        _line(axes, history.values("train", "loss"), BLUE, _("training"))
        _line(axes, history.values("validation", "loss"), ORANGE, _("validation"), marker="o")
        axes.set(title=_("Loss"), xlabel=_("step"))
        axes.set_xlim(left=0)
        legend_above(axes)
    return path


def metric_curve(history: TrainingHistory, metric: str, path: Path, _: Translate) -> Path:
    """A validation metric by step; a ring marks the best step, which the title names."""
    with canvas(6.4, 3.4, path) as axes:
        _line(axes, history.values("validation", metric), ORANGE, metric, marker="o")
        title = _("{metric} on validation").format(metric=metric)
        if best := history.best(metric):
            step, value = best
            axes.plot(step, value, "o", markersize=10, markerfacecolor="none", markeredgecolor=ORANGE)
            title += _(": {value} at the best step, {step}").format(value=f"{value:z.4f}", step=f"{step:,}")
        axes.set(title=title, xlabel=_("step"))
        axes.margins(y=0.15)
        axes.set_xlim(left=0)
    return path


def learning_rate(history: TrainingHistory, path: Path, _: Translate) -> Path:
    """Learning rate by step."""
    with canvas(6.4, 1.6, path) as axes:
        _line(axes, history.values("train", "lr"), GREY, "")
        axes.set(title=_("Learning rate"), xlabel=_("step"))
        axes.set_xlim(left=0)
        axes.yaxis.set_major_formatter("{x:.1e}")  # without a power of ten above the axis, beside the title
    return path


def scatter(points: dict[str, Any], path: Path, _: Translate) -> Path:
    """Predicted against true values; the dotted line is y = x."""
    with canvas(4.6, 4.6, path) as axes:
        axes.plot(points["true"], points["predicted"], "o", color=BLUE, markersize=4, alpha=0.4, markeredgewidth=0)
        axes.axline((points["true"][0], points["true"][0]), slope=1, color=GREY, linestyle=":", linewidth=1)
        axes.set(xlabel=_("true"), ylabel=_("predicted"))
    return path


def curves(drawn: dict[str, Any], path: Path, _: Translate) -> Path:
    """Lines over a common x; the dotted line is the chosen x."""
    with canvas(6.4, 3.4, path) as axes:
        for (name, values), colour in zip(drawn["lines"].items(), (BLUE, ORANGE, GREEN), strict=False):
            axes.plot(drawn["x"], values, color=colour, label=_(name))
        label = _("chosen: {value}").format(value=f"{drawn['chosen']:.3f}")
        axes.axvline(drawn["chosen"], color=GREY, linestyle=":", linewidth=1, label=label)
        axes.set(xlabel=_(drawn["x_label"]))
        legend_above(axes)
    return path


def _line(axes: Axes, points: list[tuple[int, float]], colour: str, label: str, marker: str = "") -> None:
    """A curve; a single point as a dot, nothing for none."""
    if points:
        steps, values = zip(*points, strict=True)
        marker = marker or ("o" if len(points) == 1 else "")
        axes.plot(steps, values, color=colour, label=label, marker=marker, markersize=5)
