"""Render the page of a report from page.html.j2: HTML and CSS, without scripts."""

import math
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..console import counted


def render(**content: Any) -> str:
    """The page as HTML. Everything in `content` is escaped."""
    folder = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["number"] = number
    return environment.get_template("page.html.j2").render(counted=counted, **content)


def number(value: Any) -> str:
    """A cell of a table: floats with four digits (-0.00001 as 0.0000), integers with thousands separators."""
    if isinstance(value, float):
        return f"{value:z.4f}" if math.isfinite(value) else "-"
    return f"{value:,}" if isinstance(value, int) else str(value)
