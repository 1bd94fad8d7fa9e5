"""The command `ft-template`, which generates projects from the template."""

PROTOCOL = 1
"""Version of the protocol that docs/companion.md describes."""

__version__ = "0.1.0"  # pyproject.toml reads it here: asking importlib.metadata takes longer than all of --help
