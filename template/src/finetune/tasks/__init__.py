"""One file a task. A new file in this folder that defines one is all that it takes to add a task."""

import pkgutil
from functools import reduce
from importlib import import_module
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from .base import Task
from .settings import Settings

__all__ = ["TASKS", "AnyTask", "Task", "make_task", "task_class"]


def _tasks() -> dict[type[Settings], type[Task[Any, Any]]]:
    """Every class in the files of this folder that has a section of the config of its own."""
    modules = [import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    classes = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    return {cls.settings: cls for cls in classes if issubclass(cls, Task) and "settings" in vars(cls)}


TASKS = _tasks()
"""Every task by its section of the config."""

if TYPE_CHECKING:
    AnyTask = Settings
else:
    AnyTask = Annotated[reduce(or_, TASKS), Field(discriminator="type")]


def task_class(settings: Settings) -> type[Task[Any, Any]]:
    """The task that a section of the config asks for."""
    return TASKS[type(settings)]


def make_task(settings: Settings) -> Task[Any, Any]:
    """The task that a section of the config asks for; it knows its labels only after `fit` or `load_state`."""
    make: Any = task_class(settings)
    task: Task[Any, Any] = make(settings)
    return task
