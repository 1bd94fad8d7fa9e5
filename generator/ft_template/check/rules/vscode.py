"""The files in .vscode, if a project has them: valid, and the same entries as in PyCharm."""

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...parsing import parse_json
from ..fault import Place, Violation
from ..project.arguments import split
from ..project.configuration import Configuration
from ..project.project import Project
from .files import MACHINE
from .rule import rule
from .schema import glob_matches
from .starting import files_to_read, is_module
from .testing import field

FOLDER = "${workspaceFolder}"
COMMENT_OR_TEXT = re.compile(r'"(?:\\.?|[^"\\])*+"?|//[^\n]*|/\*.*?(?:\*/|\Z)', re.DOTALL)
"""What is not closed ends with the file: each character is read once."""

LISTS = (("launch.json", "configurations"), ("launch.json", "compounds"), ("tasks.json", "tasks"))
Entry = tuple[Place, str, list[str]]


@rule("vscode.readable", "restore or correct the file")
def files_are_json(project: Project) -> Iterator[Violation]:
    for place in files(project):
        if isinstance(error := read(project, place.file), ValueError):
            yield place, f"it is not JSON ({error})"


@rule("vscode.entries", "write objects with a name, and arguments as a list of strings")
def entries_are_objects(project: Project) -> Iterator[Violation]:
    for file, key in LISTS:
        place = Place(f".vscode/{file}")
        if place in files(project) and len(objects(project, file, key)) != count(project, file, key):
            yield place, f"{key} is not a list of objects that VS Code can read"


@rule("vscode.program", "give a module of the project or of a dependency, or a file in ${workspaceFolder}")
def programs_exist(project: Project) -> Iterator[Violation]:
    for place, name, command in entries(project):
        if command[0] != "-m":
            exists = os.path.isfile(project.root / command[0].removeprefix(f"{FOLDER}/"))
        else:
            exists = len(command) > 1 and is_module(project, command[1])
        if not exists:
            yield place, f"'{name}' starts '{' '.join(command[:2])}', which does not exist"


@rule("vscode.argument-file", "correct the path in the arguments, or add the file")
def named_files_exist(project: Project) -> Iterator[Violation]:
    for place, name, command in entries(project):
        for path in files_to_read(command[1:]):
            if not os.path.isfile(project.root / path.removeprefix(f"{FOLDER}/")):
                yield place, f"'{name}' uses '{path}', which does not exist"


@rule("vscode.compound", "name existing entries of configurations")
def compounds_start_what_exists(project: Project) -> Iterator[Violation]:
    names = {title(entry) for entry in objects(project, "launch.json", "configurations")}
    for compound in objects(project, "launch.json", "compounds"):
        for name in compound.get("configurations", []):
            if name not in names:
                yield Place(".vscode/launch.json"), f"'{title(compound)}' starts '{name}', which does not exist"


@rule("vscode.machine-path", "begin the path with ${workspaceFolder}")
def no_path_of_one_machine(project: Project) -> Iterator[Violation]:
    for place in files(project):
        for text in strings(section(project, Path(place.file).name)):
            if MACHINE.match(text):
                yield place, f"{text} is a path of one machine"


@rule("vscode.schema", "map schemas/config.schema.json to configs/*.yaml under yaml.schemas")
def schema_is_mapped(project: Project) -> Iterator[Violation]:
    place = Place(".vscode/settings.json")
    if place in files(project):
        mapped = section(project, "settings.json").get("yaml.schemas")
        if not mapped or not isinstance(mapped, dict):
            yield place, "it maps no schema"
            return
        for schema, patterns in mapped.items():
            if not os.path.isfile(project.root / schema):
                yield place, f"there is no schema '{schema}'"
            for pattern in patterns if isinstance(patterns, list) else [patterns]:
                if not any(glob_matches(str(pattern), name) for name in project.files):
                    yield place, f"'{pattern}' matches no file"


@rule("vscode.same", "make the entries equal, or keep the difference if it is intended", note=True)
def both_editors_start_the_same(project: Project) -> Iterator[Violation]:
    started = {one.name: command_line(one) for one in project.configurations}
    for place, name, command in entries(project):
        if name in started and started[name] != [part.replace(FOLDER, "$PROJECT_DIR$") for part in command]:
            yield place, f"'{name}' starts another command than in PyCharm"
    for place in files(project):
        names = {name for at, name, _ in entries(project) if at == place}
        for name in [title for title, command in started.items() if command and names and title not in names]:
            yield place, f"'{name}' exists only in PyCharm"


def command_line(configuration: Configuration) -> list[str]:
    """The arguments of Python as in VS Code; empty for compounds and test targets that VS Code writes differently."""
    if configuration.is_python:
        return [
            *(["-m"] if configuration.in_module_mode else []),
            configuration.option("SCRIPT_NAME"),
            *configuration.arguments,
        ]
    target, more, keywords = (field(configuration, name) for name in ("target", "additionalArguments", "keywords"))
    if not configuration.is_test or not target:
        return []
    chosen = ["-k", keywords] if keywords else []
    return ["-m", "pytest", target.removeprefix("$PROJECT_DIR$/"), *split(more or "", single_quotes=True), *chosen]


def entries(project: Project) -> Iterator[Entry]:
    """The entries of launch.json and tasks.json: place, name, arguments of Python."""
    for entry in objects(project, "launch.json", "configurations"):
        program = ["-m", entry["module"]] if "module" in entry else [entry.get("program", "")]
        yield Place(".vscode/launch.json"), title(entry), [*program, *entry.get("args", [])]
    for task in objects(project, "tasks.json", "tasks"):
        yield Place(".vscode/tasks.json"), title(task), task.get("args") or [""]


def objects(project: Project, file: str, key: str) -> list[dict[str, Any]]:
    """The valid entries of a list."""
    found = section(project, file).get(key, [])
    return [entry for entry in found if is_entry(entry)] if isinstance(found, list) else []


def count(project: Project, file: str, key: str) -> int:
    """The number of entries; -1 if it is not a list."""
    found = section(project, file).get(key, [])
    return len(found) if isinstance(found, list) else -1


def title(entry: dict[str, Any]) -> Any:
    """The name of a launch entry, or the label of a task."""
    return entry.get("name", entry.get("label"))


def is_entry(entry: Any) -> bool:
    """Whether it is an object with a title, strings and lists of strings."""
    if not isinstance(entry, dict) or not isinstance(title(entry), str):
        return False
    texts = [entry.get(key, "") for key in ("module", "program")]
    lists = [entry.get(key, []) for key in ("args", "configurations")]
    return all(isinstance(text, str) for text in texts) and all(
        isinstance(some, list) and all(isinstance(text, str) for text in some) for some in lists
    )


def files(project: Project) -> list[Place]:
    return [Place(project.name(path)) for path in sorted((project.root / ".vscode").glob("*.json"))]


def section(project: Project, name: str) -> dict[str, Any]:
    """The object in a file; empty if the file is missing or holds no object."""
    found = read(project, f".vscode/{name}")
    return found if isinstance(found, dict) else {}


@lru_cache(maxsize=16)
def parsed(text: str) -> Any:
    """JSON with comments, as VS Code reads it."""
    return parse_json(COMMENT_OR_TEXT.sub(lambda found: found[0] if found[0].startswith('"') else "", text))


def read(project: Project, name: str) -> Any:
    """The contents; a ValueError if they are not JSON, None if the file is missing or refused."""
    text = project.text(project.root / name)
    try:
        return None if text is None else parsed(text)
    except ValueError as error:
        return error


def strings(value: Any) -> Iterator[str]:
    """All strings in a document, keys included."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str(text):
                yield text
            case dict(inside):
                waiting += [*inside.keys(), *inside.values()]
            case list(inside):
                waiting += inside
