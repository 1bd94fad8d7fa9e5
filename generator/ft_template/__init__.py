"""The generator around the template."""

PROTOCOL = 1
"""Of docs/companion.md."""

__version__ = "0.1.0"  # pyproject.toml reads it here: to ask the installed package takes longer than all of --help
