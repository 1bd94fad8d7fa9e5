"""Plots as SVG files, without pyplot's global state. Their text stays text: a browser has fonts for every script."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .files import write_atomic

# One grey that is readable on white and on near-black: plots are transparent, for the page's light and dark theme.
GREY = "#7b8591"
BLUE = "#3f83d6"
ORANGE = "#e0752d"
GREEN = "#3a9d78"

STYLE: dict[Any, Any] = {  # matplotlib annotates these keys from 3.11 on
    "svg.fonttype": "none",
    "svg.hashsalt": "finetune",  # the same plot is the same bytes
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # measures the text; a browser without it takes its own sans-serif font
    "font.size": 10,
    "text.parse_math": False,  # a dollar sign in a label starts no formula
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


@contextmanager
def canvas(width: float, height: float, path: Path) -> Iterator[Axes]:
    """The axes of a new figure of that size in inches; on leaving, it is written to `path`, an SVG file."""
    with sheet(width, height, path) as figure:
        yield figure.add_subplot()


@contextmanager
def sheet(width: float, height: float, path: Path) -> Iterator[Figure]:
    """A new figure of that size in inches; on leaving, it is written to `path`, an SVG file, atomically."""
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Glyph.*missing from.*font")
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        image = BytesIO()
        figure.savefig(image, format="svg", transparent=True, metadata={"Date": None})
    write_atomic(path, image.getvalue())


def legend_above(axes: Axes) -> None:
    """A legend between the title and the axes, where no line crosses it."""
    axes.set_title(axes.get_title(loc="left"), pad=21)
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, fontsize=9, borderpad=0,
                borderaxespad=0.4, columnspacing=1.2, handlelength=1.4)  # fmt: skip
