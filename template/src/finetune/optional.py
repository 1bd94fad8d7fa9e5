"""The optional folders of this package: what a project does not need it deletes, folder by folder.

Nothing outside an optional folder imports it; verbs and config keys that belong to one are looked up here.
"""

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType


@dataclass(frozen=True, slots=True)
class Part:
    """What comes with an optional folder."""

    verbs: tuple[str, ...] = ()
    """Verbs of the command line, each a click command in `<folder>/command.py`."""
    keys: tuple[str, ...] = ()
    """Top-level keys of the config."""


PARTS = {
    "continual": Part(keys=("continue_from", "continual", "stages")),
    "check_data": Part(verbs=("check-data",)),
    "report": Part(verbs=("report",)),
    "export": Part(verbs=("export",)),
}


def is_there(folder: str) -> bool:
    """Whether the project has the folder. Git may leave an empty one behind, which does not count."""
    spec = find_spec(f"{__package__}.{folder}")
    return spec is not None and spec.origin is not None


def find(folder: str, module: str) -> ModuleType | None:
    """A module of an optional folder; None where the folder was deleted."""
    return import_module(f"{__package__}.{folder}.{module}") if is_there(folder) else None
