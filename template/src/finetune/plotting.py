"""Plots on canvases of their own, without pyplot's global state: colours, fonts, figures."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# One grey that is readable on white and on near-black: plots are transparent, for the page's light and dark theme.
GREY = "#7b8591"
BLUE = "#3f83d6"
ORANGE = "#e0752d"
GREEN = "#3a9d78"

DOTS_PER_INCH = 144
LONGEST_LABEL = 24
"""Characters."""

# Fonts with Chinese, Japanese and Korean glyphs: the first that is installed is the fallback of the default font.
CJK_FONTS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "PingFang SC", "Hiragino Sans", "Microsoft YaHei",
    "SimHei", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Arial Unicode MS",
)  # fmt: skip


def shortened(label: str) -> str:
    """A label of at most `LONGEST_LABEL` characters."""
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"


@contextmanager
def canvas(width: float, height: float, path: Path) -> Iterator[Axes]:
    """The axes of a new figure of that size in inches; on leaving, it is written to `path`."""
    with sheet(width, height, path) as figure:
        yield figure.add_subplot()


@contextmanager
def sheet(width: float, height: float, path: Path) -> Iterator[Figure]:
    """A new figure of that size in inches; on leaving, it is written to `path`."""
    style: dict[Any, Any] = {  # matplotlib annotates these keys from 3.11 on
        "font.family": fonts(),
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
    with matplotlib.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Glyph.*missing from.*font")
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        figure.savefig(path, dpi=DOTS_PER_INCH, transparent=True)


def fonts() -> list[str]:
    """The default font, then its fallback for CJK glyphs, if one is installed."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *[name for name in CJK_FONTS if name in installed][:1]]
