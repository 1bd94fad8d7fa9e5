"""The plot of a data check: distributions of lengths and of labels or numbers, for each split."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from rich.cells import chop_cells

from ..plotting import BLUE, GREEN, GREY, ORANGE, legend_above, sheet

COLOURS = {"train": BLUE, "validation": ORANGE, "test": GREEN}
LABELS = 15
"""The most frequent labels, which are drawn."""
CELLS = 48
"""Width of a line of a label; a Chinese character takes two cells."""
LINE = 0.17
"""Height of a line in inches; a bar takes half of it."""


def draw_data(document: dict[str, Any], path: Path) -> Path:
    """Lengths on the left; labels or numbers, if there are any, on the right. Returns `path`, an SVG file."""
    splits = document["splits"]
    kind = next((kind for kind in ("labels", "numbers") if kind in splits["train"]), None)
    drawn = {name: split[kind] for name, split in splits.items()} if kind else {}
    bars = _bars_of(kind, drawn)
    with sheet(9.6 if kind else 6.4, max(3.6, 1.2 + LINE * _height(bars, len(drawn))), path) as figure:
        axes = figure.subplots(1, 2 if kind else 1, squeeze=False)[0]
        axes[0].set_box_aspect(0.6)
        axes[0].set_anchor("N")
        _lengths(axes[0], document)
        if bars:
            _bars(axes[1], bars, list(drawn))
            count = len({name for counts in drawn.values() for name in counts})
            cut = kind == "labels" and count > LABELS
            axes[1].set(title=f"The {LABELS} most frequent of {count} labels" if cut else str(kind).capitalize())
        elif kind == "numbers":
            _boxes(axes[1], drawn)
    return path


def _lengths(axes: Axes, document: dict[str, Any]) -> None:
    """Histogram of the lengths of each split, with max_length."""
    edges = document["token_edges"]
    for name, split in document["splits"].items():
        shares = np.array(split["token_histogram"]) / split["rows"]
        axes.stairs(shares, edges, color=COLOURS[name], linewidth=1.4, label=name, fill=name == "train",
                    alpha=0.45 if name == "train" else 1)  # fmt: skip
    limit = document["max_length"]
    if limit <= edges[-1]:
        axes.axvline(limit, color=GREY, linestyle=":", label=f"max_length {limit}")
    axes.set(title="Tokens per row", xlabel=f"tokens; the last bin holds all from {edges[-2]} on", ylabel="share")
    legend_above(axes)


def _bars_of(kind: str | None, drawn: dict[str, dict[str, Any]]) -> dict[str, list[float]]:
    """By name, the share of each split that has the label or the number; none for numbers with many values."""
    counts = {split: some["counts"] if kind == "numbers" else some for split, some in drawn.items()}
    if kind == "numbers" and not all(counts.values()):
        return {}
    names = list(dict.fromkeys(name for some in counts.values() for name in some))
    names = names[:LABELS] if kind == "labels" else sorted(names, key=float)
    return {name: [some.get(name, 0) / max(1, sum(some.values())) for some in counts.values()] for name in names}


def _height(bars: dict[str, list[float]], splits: int) -> float:
    """Of all bars with their names, in lines."""
    return sum(len(chop_cells(name, CELLS)) + (splits + 1) / 2 for name in bars)


def _bars(axes: Axes, bars: dict[str, list[float]], splits: list[str]) -> None:
    """A bar a split under each name, which begins at the axis: there is room for it whatever the font of a reader."""
    y = 0.0
    for name, shares in bars.items():
        lines = chop_cells(name, CELLS)
        y += len(lines)
        axes.text(0, y - 0.1, "\n".join(lines), ha="left", va="bottom", fontsize=9)
        for split, share in zip(splits, shares, strict=True):
            axes.barh(y + 0.25, share, 0.5, color=COLOURS[split], label=split if name == next(iter(bars)) else None)
            y += 0.5
        y += 0.5
    axes.set_ylim(y, 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False)
    axes.set(xlabel="share")


def _boxes(axes: Axes, numbers: dict[str, dict[str, Any]]) -> None:
    """Box plots of numbers."""
    boxes = [{"label": name, "whislo": some["min"], "q1": some["q25"], "med": some["median"], "q3": some["q75"],
              "whishi": some["max"]} for name, some in numbers.items()]  # fmt: skip
    drawn = axes.bxp(boxes, orientation="horizontal", showfliers=False, patch_artist=True, widths=0.5)
    for box, name in zip(drawn["boxes"], numbers, strict=True):
        box.set(facecolor=COLOURS[name], edgecolor=GREY, alpha=0.6)
    for part in ("whiskers", "caps", "medians"):
        for line in drawn[part]:
            line.set_color(GREY)
    axes.invert_yaxis()
    axes.set(title="Numbers", xlabel="minimum, quartiles, maximum")
