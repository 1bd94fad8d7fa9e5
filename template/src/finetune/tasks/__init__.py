"""The tasks: their sections of the config (settings), and a file for each that reads, computes the loss and scores.

A new task: its section in settings.py, its file, and a line in table.py (docs/new-task.md of the template).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .settings import FeatureKind, Overflow, Settings

if TYPE_CHECKING:
    from .base import Task


def make_task(
    settings: Settings, overflow: Overflow = "cut", features: Mapping[str, FeatureKind] | None = None
) -> "Task[Any, Any]":
    """The task of a section of the config; it knows its labels only after `fit` or `load_state`."""
    from .table import TASKS  # only now, for it imports torch
    from .tabular import TabularFeatures

    task = TASKS[type(settings)](settings)
    task.overflow, task.tabular = overflow, TabularFeatures(features)
    return task
