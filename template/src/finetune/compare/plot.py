"""The training curves of several runs in one picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ..errors import UserError
from ..files import Folder
from ..plotting import BLUE, GREEN, GREY, ORANGE, legend_above, sheet
from ..run.folder import RunFolder
from ..run.history import read_history

COLOURS = (BLUE, ORANGE, GREEN, "#a06cd5", "#c9518f", "#9a8a2c", GREY)
PICTURE = "comparison.svg"


def draw_curves(runs: Sequence[RunFolder], names: Sequence[str], output: Path | None) -> Path:
    """Training loss, validation loss, and the metric that chose the best step, by step; returns the picture's path.

    Raises UserError where it cannot be written.
    """
    path = output or Folder(runs[0].path.parent).at(PICTURE)
    histories = [read_history(run.at(run.metrics_file.name)) for run in runs]
    metric = next((name for history in histories if (name := history.first_metric())), None)
    panels: list[tuple[Literal["train", "validation"], str, str]] = [
        ("train", "loss", "Training loss"),
        ("validation", "loss", "Validation loss"),
    ]
    panels += [("validation", metric, f"{metric} on validation")] if metric else []
    try:
        with sheet(4.4 * len(panels), 3.6, path) as figure:
            for axes, (kind, name, title) in zip(figure.subplots(1, len(panels)), panels, strict=True):
                for number, (history, run) in enumerate(zip(histories, names, strict=True)):
                    if points := history.values(kind, name):
                        colour, line = COLOURS[number % len(COLOURS)], "-" if number < len(COLOURS) else "--"
                        steps, values = zip(*points, strict=True)
                        axes.plot(steps, values, line, color=colour, label=run, marker="o" * (len(points) < 30),
                                  markersize=3)  # fmt: skip
                axes.set(title=title, xlabel="step")
                if axes.lines:
                    legend_above(axes)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}): name another --output") from error
    return path
