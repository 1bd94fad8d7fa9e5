"""The picture of the trend: the level of each label over the stream, alarms, and topics of labels with an alarm."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter
from matplotlib.ticker import PercentFormatter, StrMethodFormatter

from ..plotting import BLUE, GREEN, GREY, ORANGE, legend_above, sheet
from .alarms import Event, Rule
from .windows import MEAN, Span

COLOURS = (BLUE, ORANGE, GREEN, "#9b6bd1", "#c94f6d", "#b39b2b", "#4aa3b5", GREY)
MOST_PANELS = 3
"""Labels whose topics are drawn."""
RED = "#d03b3b"

Point = dict[str, Any]


def draw_trend(
    points: Sequence[Point], events: Sequence[Event], rules: Sequence[Rule], span: Span, path: Path
) -> Path | None:
    """Write the picture, as SVG; None while there is nothing to draw."""
    if not points:
        return None
    by_topic = list(dict.fromkeys(rule.label for rule in rules if rule.topic is not None))[:MOST_PANELS]
    labels, topics = _frequent([point["levels"] for point in points]), _most_present(points)
    with sheet(9.6, 3.2 * (1 + len(by_topic)), path) as figure:
        first, *others = figure.subplots(1 + len(by_topic), 1, sharex=True, squeeze=False)[:, 0]
        x = [_x(point, span) for point in points]
        series = {label: [point["levels"].get(label, 0.0) for point in points] for label in labels}
        title = f"Mean in the {span}" if MEAN in labels else f"Share of the {span}"
        _panel(first, title, x, series)
        _thresholds(first, [rule for rule in rules if rule.topic is None])
        _alarms(first, [event for event in events if event["topic"] is None], x, span)
        for axes, label in zip(others, by_topic, strict=True):
            series = {topic: [_level_in(point, topic, label) for point in points] for topic in topics}
            _panel(axes, f"{label}, by topic", x, series)
            _thresholds(axes, [rule for rule in rules if rule.topic is not None and rule.label == label])
            _alarms(axes, [event for event in events if event["topic"] and event["label"] == label], x, span)
        _x_axis([first, *others][-1], span)
    return path


def _x(record: dict[str, Any], span: Span) -> Any:
    """Where a point or an alarm stands: at the number of its text, or at its time."""
    return record["number"] if span.texts else datetime.fromisoformat(record["time"])


def _level_in(point: Point, topic: str, label: str) -> float:
    """The level of a label in a topic; a gap where the topic does not occur."""
    levels = point["topics"].get(topic)
    return float("nan") if levels is None else float(levels.get(label, 0.0))


def _frequent(levels: Sequence[dict[str, float]]) -> list[str]:
    """The labels with the highest levels, in the order of their names."""
    highest: Counter[str] = Counter()
    for one in levels:
        highest |= Counter(one)
    names = highest or {name: 0.0 for one in levels for name in one}
    return sorted(sorted(names, key=lambda label: -names[label])[: len(COLOURS)])


def _most_present(points: Sequence[Point]) -> list[str]:
    """The topics that occur in most points, in the order of their names."""
    counts = Counter(topic for point in points for topic in point["topics"])
    return sorted(topic for topic, _ in counts.most_common(len(COLOURS)))


def _panel(axes: Axes, title: str, x: list[Any], series: dict[str, list[float]]) -> None:
    """A line for each series; a single point as a dot."""
    for (name, levels), colour in zip(series.items(), COLOURS, strict=False):
        axes.plot(x, levels, color=colour, label=name, linewidth=1.4, marker="o" if len(x) == 1 else "", markersize=4)
    axes.set_title(title)
    if MEAN not in series:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    if series:
        legend_above(axes)


def _thresholds(axes: Axes, rules: Sequence[Rule]) -> None:
    """A dotted line for each threshold of a level."""
    for threshold in {rule.threshold for rule in rules if not rule.is_jump}:
        axes.axhline(threshold, color=RED, linestyle=":", linewidth=1)


def _alarms(axes: Axes, events: Sequence[Event], x: list[Any], span: Span) -> None:
    """Where an alarm was on, the ground is red; one that is still on reaches to the end."""
    raised: dict[tuple[str, str | None], Any] = {}
    for event in events:
        key = (event["alarm"], event["topic"])
        if event["state"] == "raised":
            raised[key] = _x(event, span)
        elif key in raised:
            axes.axvspan(max(raised.pop(key), x[0]), max(_x(event, span), x[0]), color=RED, alpha=0.14, linewidth=0)
    for start in raised.values():
        axes.axvspan(max(start, x[0]), max(x[-1], start), color=RED, alpha=0.14, linewidth=0)


def _x_axis(axes: Axes, span: Span) -> None:
    if span.texts:
        axes.set_xlabel("texts")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    else:
        axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))  # type: ignore[no-untyped-call]
        axes.set_xlabel("time (UTC)")
