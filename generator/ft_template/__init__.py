"""The generator around the template."""

__version__ = "0.1.0"  # pyproject.toml reads it here: to ask the installed package takes longer than all of --help
