"""What a run configuration starts: script or module, working directory, env file, files in its arguments."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePath

from ..fault import Violation
from ..project.configuration import Configuration
from ..project.project import Project
from .rule import rule

MODULE_NAME = re.compile(r"[\w.-]*\w")
READ_SUFFIXES = {".yaml", ".yml", ".json", ".jsonl", ".csv", ".tsv", ".conll", ".txt", ".parquet", ".py"}
"""An argument with one of these suffixes is an input file, which must exist."""

OUTPUT_OPTIONS = {"--output", "--to", "-o"}
"""Options whose value is an output file."""


@rule("run.script", "give a file of the project as $PROJECT_DIR$/…")
def scripts_exist(project: Project) -> Iterator[Violation]:
    for configuration in project.python_configurations:
        if not configuration.in_module_mode and not is_file(project, configuration.option("SCRIPT_NAME")):
            yield configuration.option_place("SCRIPT_NAME"), f"there is no file '{configuration.option('SCRIPT_NAME')}'"


@rule("run.module-name", "give a module in a source root, or in a dependency of pyproject.toml")
def started_modules_exist(project: Project) -> Iterator[Violation]:
    for configuration in project.python_configurations:
        name = configuration.option("SCRIPT_NAME")
        if configuration.in_module_mode and not (MODULE_NAME.fullmatch(name) and is_module(project, name)):
            yield configuration.option_place("SCRIPT_NAME"), f"there is no module '{name}'"


@rule("run.working-directory", "write $PROJECT_DIR$")
def working_directory_exists(project: Project) -> Iterator[Violation]:
    """A relative path is relative to the folder in which PyCharm itself was started."""
    for configuration in [*project.python_configurations, *project.test_configurations]:
        path = configuration.option("WORKING_DIRECTORY")
        if path and not (path.startswith("$") and os.path.isdir(project.expand(path))):
            yield configuration.option_place("WORKING_DIRECTORY"), f"'{path}' is not a folder of the project"


@rule("run.env-file", "give one file that every clone has, or none")
def env_files_exist(project: Project) -> Iterator[Violation]:
    """A missing file prevents the start; the separator of several files differs between systems."""
    for configuration in [*project.python_configurations, *project.test_configurations]:
        value = configuration.option("ENV_FILES")
        if value and re.search("[:;]", value):
            yield configuration.option_place("ENV_FILES"), f"'{value}' is more than one file"
        elif value and not is_file(project, value):
            yield configuration.option_place("ENV_FILES"), f"there is no file '{value}'"


@rule("run.input-file", "give a file of the project, or set REDIRECT_INPUT to false")
def input_files_exist(project: Project) -> Iterator[Violation]:
    for configuration in project.python_configurations:
        if configuration.flag("REDIRECT_INPUT") and not is_file(project, configuration.option("INPUT_FILE")):
            yield configuration.option_place("INPUT_FILE"), f"there is no file '{configuration.option('INPUT_FILE')}'"


@rule("run.argument-file", "correct the path in PARAMETERS, or add the file")
def named_files_exist(project: Project) -> Iterator[Violation]:
    for configuration in project.python_configurations:
        for name in files_to_read(configuration.arguments):
            if not os.path.isfile(working_directory(project, configuration) / project.expand(name)):
                yield configuration.option_place("PARAMETERS"), f"there is no file '{name}'"


def files_to_read(arguments: list[str]) -> Iterator[str]:
    """The input files among the arguments and the values of `key=value`."""
    before = ""
    for argument in arguments:
        value = argument.rpartition("=")[2]
        if (
            PurePath(value).suffix in READ_SUFFIXES
            and argument.partition("=")[0] not in OUTPUT_OPTIONS
            and before not in OUTPUT_OPTIONS
        ):
            yield value
        before = argument


def working_directory(project: Project, configuration: Configuration) -> Path:
    """Its working directory; by default the project's folder."""
    return Path(project.expand(configuration.option("WORKING_DIRECTORY")) or project.root)


def is_file(project: Project, path: str) -> bool:
    return path.startswith("$") and os.path.isfile(project.expand(path))


def is_module(project: Project, name: str) -> bool:
    """Whether it is a runnable module or package of the project, of a dependency or of the standard library."""
    parts = name.split(".")
    files = ("/".join(parts) + ".py", "/".join([*parts, "__main__.py"]))
    if any(os.path.isfile(root / file) for root in [*project.source_roots, *project.content_roots] for file in files):
        return True
    return parts[0].lower() in project.dependencies or parts[0] in sys.stdlib_module_names
