"""Run configurations that start others: compounds, and tasks before a start."""

from collections.abc import Iterator

from ..fault import Violation
from ..project.configuration import Configuration
from ..project.project import Project
from .rule import rule

Key = tuple[str, str]


@rule("compound.member", "name an existing configuration by its type and name")
def compounds_start_what_exists(project: Project) -> Iterator[Violation]:
    """PyCharm leaves out a member that it does not find, without a word."""
    for compound in project.compounds:
        if not compound.members:
            yield compound.place, "it starts nothing"
        for (kind, name), place in compound.members:
            if (kind, name) not in project.by_key:
                yield place, f"there is no '{name}' of type {kind}"


@rule("before-launch.task", 'use <option name="RunConfigurationTask" …> alone')
def tasks_need_no_setting_of_a_machine(project: Project) -> Iterator[Violation]:
    for found in project.configurations:
        for task in found.before_launch:
            if task.get("name") != "RunConfigurationTask":
                yield task.place, f"{task.get('name')} needs what is set up on one machine"


@rule("before-launch.target", "name an existing configuration by its type and name")
def prerequisites_exist(project: Project) -> Iterator[Violation]:
    """PyCharm starts without one that it does not find."""
    for found in project.configurations:
        for (kind, name), place in found.prerequisites:
            if (kind, name) not in project.by_key:
                yield place, f"there is no '{name}' of type {kind}"


@rule("links.cycle", "take one of them out")
def nothing_starts_itself(project: Project) -> Iterator[Violation]:
    for key, found in project.by_key.items():
        if key in reached(project, found):
            yield found.place, f"'{found.name}' starts itself, by way of what it starts"


def reached(project: Project, start: Configuration) -> set[Key]:
    """All that a configuration starts, directly or not."""
    waiting, seen = [start], set[Key]()
    while waiting:
        found = waiting.pop()
        for key, _ in [*found.members, *found.prerequisites]:
            if key not in seen and key in project.by_key:
                seen.add(key)
                waiting.append(project.by_key[key])
    return seen
