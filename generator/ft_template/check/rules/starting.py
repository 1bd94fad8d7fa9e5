"""What a run configuration starts: script, folder, variables and the files that its arguments name."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePath

from ..fault import Violation
from ..project.configuration import Configuration
from ..project.project import Project
from .rule import rule

MODULE_NAME = re.compile(r"[\w.-]*\w")
READ = {".yaml", ".yml", ".json", ".jsonl", ".csv", ".tsv", ".conll", ".txt", ".parquet", ".py"}
"""Endings of files that a program reads; an argument with one of them has to exist."""

WRITES = {"--output", "--to", "-o"}
"""Options whose value is a file to come."""


@rule("run.script", "name a file of the project, as $PROJECT_DIR$/…")
def scripts_exist(project: Project) -> Iterator[Violation]:
    for found in project.python_configurations:
        if not found.in_module_mode and not is_file(project, found.option("SCRIPT_NAME")):
            yield found.option_place("SCRIPT_NAME"), f"there is no file '{found.option('SCRIPT_NAME')}'"


@rule("run.module-name", "name a module of a source root, or of a package that pyproject.toml depends on")
def started_modules_exist(project: Project) -> Iterator[Violation]:
    for found in project.python_configurations:
        name = found.option("SCRIPT_NAME")
        if found.in_module_mode and not (MODULE_NAME.fullmatch(name) and is_module(project, name)):
            yield found.option_place("SCRIPT_NAME"), f"there is no module '{name}'"


@rule("run.working-directory", "write $PROJECT_DIR$")
def working_directory_exists(project: Project) -> Iterator[Violation]:
    """PyCharm takes a relative one from where it was started itself."""
    for found in [*project.python_configurations, *project.test_configurations]:
        path = found.option("WORKING_DIRECTORY")
        if path and not (path.startswith("$") and Path(project.expand(path)).is_dir()):
            yield found.option_place("WORKING_DIRECTORY"), f"'{path}' is no folder of the project"


@rule("run.env-file", "name one file that every clone has, or none")
def env_files_exist(project: Project) -> Iterator[Violation]:
    """A missing one stops the start; two are parted by a character that differs between systems."""
    for found in [*project.python_configurations, *project.test_configurations]:
        value = found.option("ENV_FILES")
        if value and re.search("[:;]", value):
            yield found.option_place("ENV_FILES"), f"'{value}' is more than one file"
        elif value and not is_file(project, value):
            yield found.option_place("ENV_FILES"), f"there is no file '{value}'"


@rule("run.input-file", "name a file of the project, or set REDIRECT_INPUT to false")
def input_files_exist(project: Project) -> Iterator[Violation]:
    for found in project.python_configurations:
        if found.flag("REDIRECT_INPUT") and not is_file(project, found.option("INPUT_FILE")):
            yield found.option_place("INPUT_FILE"), f"there is no file '{found.option('INPUT_FILE')}'"


@rule("run.argument-file", "correct the path in its parameters, or add the file")
def named_files_exist(project: Project) -> Iterator[Violation]:
    for found in project.python_configurations:
        for name in files_to_read(found.arguments):
            if not (working_directory(project, found) / project.expand(name)).is_file():
                yield found.option_place("PARAMETERS"), f"there is no file '{name}'"


def files_to_read(arguments: list[str]) -> Iterator[str]:
    """The arguments, or values of `key=value`, that are files to read."""
    before = ""
    for argument in arguments:
        value = argument.rpartition("=")[2]
        if PurePath(value).suffix in READ and argument.partition("=")[0] not in WRITES and before not in WRITES:
            yield value
        before = argument


def working_directory(project: Project, found: Configuration) -> Path:
    """Where it runs: the project's folder, if no other is named."""
    return Path(project.expand(found.option("WORKING_DIRECTORY")) or project.root)


def is_file(project: Project, path: str) -> bool:
    return path.startswith("$") and Path(project.expand(path)).is_file()


def is_module(project: Project, name: str) -> bool:
    """Whether the project has a module or package of this name that can be run, or depends on one that may."""
    parts = name.split(".")
    if any(
        root.joinpath(*parts).with_suffix(".py").is_file() or root.joinpath(*parts, "__main__.py").is_file()
        for root in [*project.source_roots, *project.content_roots]
    ):
        return True
    return parts[0].lower() in project.dependencies or parts[0] in sys.stdlib_module_names
