"""Modules of the template that apply here, too: its hooks, and how the package shows URLs."""

import importlib.util
from functools import cache
from types import ModuleType

from .template import BUNDLE


@cache
def _load(file: str) -> ModuleType:
    path = BUNDLE / file
    spec = importlib.util.spec_from_file_location(f"ft_template_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pre_gen() -> ModuleType:
    """The hook that validates the answers."""
    return _load("hooks/pre_gen_project.py")


def post_gen() -> ModuleType:
    """The hook that creates the environment and prints the next steps."""
    return _load("hooks/post_gen_project.py")


def without_secrets(text: str) -> str:
    """A text whose URLs have no user, password and secret parameters, as the package finetune shows them."""
    return str(_load("template/src/finetune/urls.py").without_secrets(text))
