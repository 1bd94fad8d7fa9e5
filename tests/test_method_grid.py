"""The grids of methods in the docs are what the package says."""

from tools import method_grid


def test_grids_are_current() -> None:
    text = method_grid.PAGE.read_text(encoding="utf-8")
    assert method_grid.page(text) == text, "PYTHONPATH=template/src python -m tools.method_grid"
