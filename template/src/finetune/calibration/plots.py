"""The pictures of a report: reliability diagram, and risk by coverage."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..plotting import BLUE, GREY, ORANGE, canvas, legend_above

Translate = Callable[[str], str]
LARGEST = 220.0
"""Area of the marker of the largest bin."""
SMALLEST = 12.0


def draw(evaluation: dict[str, Any], folder: Path, _: Translate) -> dict[str, Path]:
    """The pictures of an evaluation, by their titles; none where nothing was answered."""
    calibration, split = evaluation.get("calibration"), evaluation["split"]
    if not calibration or not calibration["after"].get("bins"):
        return {}
    return {
        "Reliability diagram": reliability(calibration, folder / f"reliability-{split}.svg", _),
        "Risk by coverage": risk(calibration["after"], folder / f"coverage-{split}.svg", _),
    }


def reliability(calibration: dict[str, Any], path: Path, _: Translate) -> Path:
    """Accuracy of the answers by their probability, the larger the more answers; the dotted line is y = x."""
    temperature = calibration["temperature"]
    drawn = {_("as trained"): (calibration["before"], ORANGE)}
    if temperature != 1:
        drawn[_("temperature {value}").format(value=f"{temperature:.3f}")] = (calibration["after"], BLUE)
    with canvas(4.6, 4.8, path) as axes:
        axes.plot((0, 1), (0, 1), color=GREY, linestyle=":", linewidth=1)
        for name, (values, colour) in drawn.items():
            bins = values["bins"]
            most = max(one["count"] for one in bins)
            x, y = ([one[key] for one in bins] for key in ("confidence", "accuracy"))
            axes.plot(x, y, color=colour, linewidth=1.5, alpha=0.8, label=f"{name}: ECE {values['ece']:.4f}")
            sizes = [max(SMALLEST, LARGEST * one["count"] / most) for one in bins]
            axes.scatter(x, y, sizes, color=colour, alpha=0.6, linewidths=0)
        lowest = min(one["confidence"] for values, _colour in drawn.values() for one in values["bins"])
        axes.set(xlabel=_("probability"), ylabel=_("share of right answers"), xlim=(lowest - 0.05, 1.02))
        axes.set_ylim(-0.02, 1.04)
        legend_above(axes)
    return path


def risk(values: dict[str, Any], path: Path, _: Translate) -> Path:
    """The share of wrong answers among the most probable ones, by how many are given."""
    with canvas(6.4, 3.0, path) as axes:
        axes.plot(values["coverage"], values["risk"], color=BLUE, marker="o" if len(values["risk"]) == 1 else "")
        axes.set(xlabel=_("coverage: share of the answers that are given"), ylabel=_("share of wrong ones"))
        axes.set_xlim(0, 1.02)
        axes.set_ylim(bottom=0)
    return path
