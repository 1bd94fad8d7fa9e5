"""Run configurations that start others: compounds and before-launch tasks."""

from collections.abc import Iterator

from ..fault import Violation
from ..project.configuration import Configuration
from ..project.project import Project
from .rule import rule

Key = tuple[str, str]


@rule("compound.member", "name an existing configuration by its type and name")
def compounds_start_what_exists(project: Project) -> Iterator[Violation]:
    """PyCharm silently skips a missing member."""
    for compound in project.compounds:
        if not compound.members:
            yield compound.place, "it starts nothing"
        for (kind, name), place in compound.members:
            if (kind, name) not in project.by_key:
                yield place, f"there is no '{name}' of type {kind}"


@rule("before-launch.task", 'use <option name="RunConfigurationTask" …> alone')
def tasks_need_no_setting_of_a_machine(project: Project) -> Iterator[Violation]:
    for configuration in project.known_configurations:
        for task in configuration.before_launch:
            if task.get("name") != "RunConfigurationTask":
                yield task.place, f"{task.get('name')} needs settings of one machine"


@rule("before-launch.target", "name an existing configuration by its type and name")
def prerequisites_exist(project: Project) -> Iterator[Violation]:
    """PyCharm silently skips a missing before-launch configuration."""
    for configuration in project.configurations:
        for (kind, name), place in configuration.prerequisites:
            if (kind, name) not in project.by_key:
                yield place, f"there is no '{name}' of type {kind}"


@rule("links.cycle", "remove one of the links")
def nothing_starts_itself(project: Project) -> Iterator[Violation]:
    for key, found in project.by_key.items():
        if key in reached(project, found):
            yield found.place, f"'{found.name}' starts itself, directly or indirectly"


def reached(project: Project, start: Configuration) -> set[Key]:
    """The keys of all configurations that it starts, directly or indirectly."""
    waiting, seen = [start], set[Key]()
    while waiting:
        found = waiting.pop()
        for key, _ in [*found.members, *found.prerequisites]:
            if key not in seen and key in project.by_key:
                seen.add(key)
                waiting.append(project.by_key[key])
    return seen
