"""The template's hooks, loaded as modules: their rules and steps apply here too and are written once."""

import importlib.util
from functools import cache
from types import ModuleType

from .template import BUNDLE


@cache
def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"ft_template_{name}", BUNDLE / "hooks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pre_gen() -> ModuleType:
    """The hook that validates the answers."""
    return _load("pre_gen_project")


def post_gen() -> ModuleType:
    """The hook that creates the environment and prints the next steps."""
    return _load("post_gen_project")
