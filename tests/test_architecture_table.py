"""The lists of architectures in docs/methods.md are what the package accepts now."""

from tools import architecture_table


def test_the_lists_are_as_the_package_has_them() -> None:
    text = architecture_table.PAGE.read_text(encoding="utf-8")
    assert architecture_table.page(text) == text, "PYTHONPATH=template/src python -m tools.architecture_table"
