"""Render the page of a report from page.html.j2: HTML and CSS, without scripts."""

import math
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .metrics import MEANINGS
from .words import translator

AVERAGES = ("micro avg", "macro avg", "weighted avg")
"""The rows of a table that are named by the program: other names are labels, which are not translated."""


def render(language: str, **content: Any) -> str:
    """The page as HTML, in `language`. Everything in `content` is escaped."""
    folder = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["number"] = number
    environment.globals.update(_=translator(language), is_share=is_share, meanings=MEANINGS, averages=AVERAGES)
    return environment.get_template("page.html.j2").render(language=language, **content)


def number(value: Any) -> str:
    """A cell of a table: floats with four digits and no -0, integers with thousands separators."""
    if isinstance(value, float):
        return f"{value:z.4f}" if math.isfinite(value) else "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


def is_share(value: Any) -> bool:
    """Whether a cell of a table is a proportion or a score from 0 to 1, which a bar behind it shows."""
    return isinstance(value, float) and 0 <= value <= 1
