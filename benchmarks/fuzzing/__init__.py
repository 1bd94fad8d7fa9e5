"""Fuzz targets: each module of this folder that has `TARGETS` adds its own."""

import importlib
import pkgutil

from .target import Target


def targets() -> dict[str, Target]:
    """All targets by name. A module imports what it tests inside its functions, so that this stays cheap."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return {target.name: target for module in modules for target in getattr(module, "TARGETS", ())}


def chosen(prefixes: list[str]) -> list[Target]:
    """The targets of these names; `data` is short for all targets whose names begin with `data/`.

    Raises KeyError with a name that no target has.
    """
    known = targets()
    found: dict[str, Target] = {}
    for prefix in prefixes:
        matching = {name: target for name, target in known.items() if name == prefix or name.startswith(f"{prefix}/")}
        if not matching:
            raise KeyError(prefix)
        found |= matching
    return list((found or known).values())
