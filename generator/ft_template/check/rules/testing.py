"""Test configurations, whose fields are JSON in XML attributes."""

import os
from collections.abc import Iterator

from ..fault import Violation
from ..project.configuration import Configuration
from ..project.project import Project
from .rule import rule

FIELDS = ("keywords", "parameters", "additionalArguments", "target", "targetType")
TARGET_TYPES = ("PATH", "PYTHON", "CUSTOM")


@rule("test.json", "write the value as JSON, quotes included")
def fields_are_json(project: Project) -> Iterator[Violation]:
    for configuration in project.test_configurations:
        for name in FIELDS:
            if field(configuration, name) is None:
                yield configuration.option_place(f"_new_{name}"), f"_new_{name} is not a JSON string"


@rule("test.target-type", f"write one of {', '.join(TARGET_TYPES)}")
def target_types_are_known(project: Project) -> Iterator[Violation]:
    for configuration in project.test_configurations:
        kind = field(configuration, "targetType")
        if kind is not None and kind not in TARGET_TYPES:
            yield configuration.option_place("_new_targetType"), f"there is no target of type '{kind}'"


@rule("test.target", "give a file or folder of the project as $PROJECT_DIR$/…, or a module of its tests")
def targets_exist(project: Project) -> Iterator[Violation]:
    for configuration in project.test_configurations:
        target, kind = field(configuration, "target"), field(configuration, "targetType")
        place = configuration.option_place("_new_target")
        if target is not None and kind != "CUSTOM" and not exists(project, target, is_path=kind == "PATH"):
            yield place, f"there is no '{target}'" if target else "it has no target"


def exists(project: Project, target: str, *, is_path: bool) -> bool:
    """A path must begin with a macro: others are relative to the folder in which PyCharm was started."""
    if is_path:
        return target.startswith("$") and os.path.exists(project.expand(target))
    return starts_with_module(project, target)


def field(configuration: Configuration, name: str) -> str | None:
    """A decoded field; None if it is not a JSON string."""
    try:
        return configuration.test_field(name)
    except ValueError:
        return None


def starts_with_module(project: Project, name: str) -> bool:
    """Whether a dotted name starts with a module of the project; a class or function may follow."""
    parts = name.split(".")
    roots = [project.root, *project.source_roots]
    files = ["/".join(parts[:count]) + ".py" for count in range(1, len(parts) + 1)]
    return any(os.path.isfile(root / file) for root in roots for file in files)
