"""The plot of a data check: distributions of lengths and of labels or numbers, for each split."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ..plotting import BLUE, GREEN, GREY, ORANGE, sheet, shortened

COLOURS = {"train": BLUE, "validation": ORANGE, "test": GREEN}
LABELS = 15
"""The most frequent labels, which are drawn."""


def draw_data(document: dict[str, Any], path: Path) -> Path:
    """Lengths on the left; labels or numbers, if there are any, on the right."""
    splits = document["splits"]
    right = {"labels": _labels, "numbers": _numbers}
    kind = next((kind for kind in right if kind in splits["train"]), None)
    with sheet(9.6 if kind else 6.4, 3.6, path) as figure:
        axes = figure.subplots(1, 2 if kind else 1, squeeze=False)[0]
        _lengths(axes[0], document)
        if kind:
            right[kind](axes[1], {name: split[kind] for name, split in splits.items()})
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
        axes.axvline(limit, color=GREY, linestyle=":")
        axes.annotate(f"max_length {limit}", (limit, 1), (-4, -4), xycoords=("data", "axes fraction"),
                      textcoords="offset points", ha="right", va="top", rotation=90, fontsize=8)  # fmt: skip
    axes.set(title="Tokens per row", xlabel=f"tokens; the last bin holds all from {edges[-2]} on", ylabel="share")
    axes.legend(frameon=False)


def _labels(axes: Axes, counts: dict[str, dict[str, int]]) -> None:
    """The share of each label in each split."""
    names = list(dict.fromkeys(name for some in counts.values() for name in some))
    _bars(axes, counts, names[:LABELS])
    axes.set(title="Labels" if len(names) <= LABELS else f"The {LABELS} most frequent of {len(names)} labels")


def _numbers(axes: Axes, numbers: dict[str, dict[str, Any]]) -> None:
    """Few distinct numbers as bars, others as box plots."""
    counts = {name: some["counts"] for name, some in numbers.items()}
    if all(counts.values()):
        _bars(axes, counts, sorted({value for some in counts.values() for value in some}, key=float))
        axes.set(title="Numbers")
        return
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


def _bars(axes: Axes, counts: dict[str, dict[str, int]], names: list[str]) -> None:
    height = 0.8 / len(counts)
    for number, (split, some) in enumerate(counts.items()):
        shares = [some.get(name, 0) / max(1, sum(some.values())) for name in names]
        axes.barh(np.arange(len(names)) + number * height, shares, height, color=COLOURS[split], label=split)
    axes.set_yticks(np.arange(len(names)) + (len(counts) - 1) * height / 2, [shortened(name) for name in names])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set(xlabel="share")
