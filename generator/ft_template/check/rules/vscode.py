"""VS Code's files, where a project has them: what they start exists, and is what PyCharm starts."""

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..fault import Place, Violation
from ..project.arguments import split
from ..project.configuration import Configuration
from ..project.project import Project
from .files import MACHINE
from .rule import rule
from .starting import files_to_read, is_module
from .testing import field

FOLDER = "${workspaceFolder}"
COMMENT_OR_TEXT = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
LISTS = (("launch.json", "configurations"), ("launch.json", "compounds"), ("tasks.json", "tasks"))
Entry = tuple[Place, str, list[str]]


@rule("vscode.readable", "restore the file, or mend what is there")
def files_are_json(project: Project) -> Iterator[Violation]:
    for place in files(project):
        if isinstance(found := read(project.root / place.file), ValueError):
            yield place, f"it is not JSON ({found})"


@rule("vscode.entries", "write objects with a name and, where it takes arguments, a list of texts")
def entries_are_objects(project: Project) -> Iterator[Violation]:
    for file, key in LISTS:
        place = Place(f".vscode/{file}")
        if place in files(project) and len(objects(project, file, key)) != count(project, file, key):
            yield place, f"{key} is no list of objects as VS Code reads them"


@rule("vscode.program", "name a module of the project or of what it depends on, or a file in ${workspaceFolder}")
def programs_exist(project: Project) -> Iterator[Violation]:
    for place, name, command in entries(project):
        if command[0] != "-m":
            exists = (project.root / command[0].removeprefix(f"{FOLDER}/")).is_file()
        else:
            exists = len(command) > 1 and is_module(project, command[1])
        if not exists:
            yield place, f"'{name}' starts '{' '.join(command[:2])}', which does not exist"


@rule("vscode.argument-file", "correct the path in its arguments, or add the file")
def named_files_exist(project: Project) -> Iterator[Violation]:
    for place, name, command in entries(project):
        for path in files_to_read(command[1:]):
            if not (project.root / path.removeprefix(f"{FOLDER}/")).is_file():
                yield place, f"'{name}' names '{path}', which does not exist"


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
            if not (project.root / schema).is_file():
                yield place, f"there is no schema '{schema}'"
            for pattern in patterns if isinstance(patterns, list) else [patterns]:
                if not pattern or not any(project.root.glob(str(pattern))):
                    yield place, f"'{pattern}' matches no file"


@rule("vscode.same", "make them alike, or leave it where only one editor needs it", note=True)
def both_editors_start_the_same(project: Project) -> Iterator[Violation]:
    started = {found.name: command_line(found) for found in project.configurations}
    for place, name, command in entries(project):
        if name in started and started[name] != [part.replace(FOLDER, "$PROJECT_DIR$") for part in command]:
            yield place, f"'{name}' starts other things than in PyCharm"
    for place in files(project):
        names = {name for at, name, _ in entries(project) if at == place}
        for name in [found for found, command in started.items() if command and names and found not in names]:
            yield place, f"'{name}' is in PyCharm only"


def command_line(found: Configuration) -> list[str]:
    """What PyCharm gives to Python, as VS Code would write it; nothing for what VS Code has in another form."""
    if found.is_python:
        return [*(["-m"] if found.in_module_mode else []), found.option("SCRIPT_NAME"), *found.arguments]
    target, more, keywords = (field(found, name) for name in ("target", "additionalArguments", "keywords"))
    if not found.is_test or not target:
        return []
    chosen = ["-k", keywords] if keywords else []
    return ["-m", "pytest", target.removeprefix("$PROJECT_DIR$/"), *split(more or "", single_quotes=True), *chosen]


def entries(project: Project) -> Iterator[Entry]:
    """What launch.json and tasks.json start: the place, the name, and the arguments of Python."""
    for entry in objects(project, "launch.json", "configurations"):
        program = ["-m", entry["module"]] if "module" in entry else [entry.get("program", "")]
        yield Place(".vscode/launch.json"), title(entry), [*program, *entry.get("args", [])]
    for task in objects(project, "tasks.json", "tasks"):
        yield Place(".vscode/tasks.json"), title(task), task.get("args") or [""]


def objects(project: Project, file: str, key: str) -> list[dict[str, Any]]:
    """The entries of a list that are as they should be: named, with texts and lists of texts where we look at them."""
    found = section(project, file).get(key, [])
    return [entry for entry in found if is_entry(entry)] if isinstance(found, list) else []


def count(project: Project, file: str, key: str) -> int:
    """How many entries there are; -1 where there is no list."""
    found = section(project, file).get(key, [])
    return len(found) if isinstance(found, list) else -1


def title(entry: dict[str, Any]) -> Any:
    """What a launch entry calls its name, and a task its label."""
    return entry.get("name", entry.get("label"))


def is_entry(entry: Any) -> bool:
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
    """The object in a file; an empty one where there is none, or no such file."""
    found = read(project.root / ".vscode" / name)
    return found if isinstance(found, dict) else {}


@lru_cache(maxsize=16)
def parsed(text: str) -> Any:
    """VS Code allows comments."""
    return json.loads(COMMENT_OR_TEXT.sub(lambda found: found[0] if found[0].startswith('"') else "", text))


def read(path: Path) -> Any:
    """The contents; the ValueError where they are no JSON, None where there is no file."""
    try:
        return parsed(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        return error


def strings(value: Any) -> Iterator[str]:
    """All texts in a document, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inside in value.items():
            yield key
            yield from strings(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from strings(inside)
