"""The generator around the template."""

from importlib.metadata import version

__version__ = version("ft-template")
