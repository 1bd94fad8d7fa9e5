"""The hooks of the bundled template as modules: their rules and steps hold here too, and are written once."""

import importlib.util
from functools import cache
from types import ModuleType

from .template import BUNDLE


@cache
def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"ft_template_{name}", BUNDLE / "hooks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rules() -> ModuleType:
    """What answers must be."""
    return _module("pre_gen_project")


def after() -> ModuleType:
    """The environment and the next steps."""
    return _module("post_gen_project")
