"""The command line, folder and variables with which PyCharm starts a configuration."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from ..project.arguments import split
from ..project.configuration import Configuration
from ..project.project import Project

WINDOWS = os.name == "nt"
PYTEST = ("-P", "-c", "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))")
"""As PyCharm's own runner calls it, and without the current folder on the path, which would hide a missing root."""

PYTEST_OPTIONS = ("--no-header", "--no-summary", "-q")
ENV_LINE = re.compile(r"\s*(?:export\s+)?(\w+)\s*=\s*(.*?)\s*$")


@dataclass(frozen=True)
class Command:
    """What is started, where, and with which variables."""

    arguments: tuple[str, ...]
    folder: Path
    variables: dict[str, str]
    terminal: bool = False
    """PyCharm emulates a terminal, in which a program shows progress and colours."""

    def with_more(self, *arguments: str) -> Command:
        return replace(self, arguments=(*self.arguments, *arguments))


def interpreter(root: Path) -> Path:
    """The Python of a project's `.venv`."""
    return root / ".venv" / ("Scripts/python.exe" if WINDOWS else "bin/python")


def command(project: Project, found: Configuration, python: Path) -> Command:
    """What PyCharm starts for a Python or test configuration."""
    options = split(project.expand(found.option("INTERPRETER_OPTIONS")))
    program = test_program(project, found) if found.is_test else python_program(project, found)
    return Command(
        (str(python), *options, *program),
        folder(project, found),
        variables(project, found, python),
        found.flag("EMULATE_TERMINAL"),
    )


def python_program(project: Project, found: Configuration) -> list[str]:
    script = project.expand(found.option("SCRIPT_NAME"))
    arguments = split(project.expand(found.option("PARAMETERS")))
    return [*(["-m", script] if found.in_module_mode else [script]), *arguments]


def test_program(project: Project, found: Configuration) -> list[str]:
    """A target that is a dotted name is left to pytest's own import, by its first part that is a file."""
    kind, target = found.test_field("targetType"), project.expand(found.test_field("target"))
    keywords = found.test_field("keywords")
    chosen = [] if kind == "CUSTOM" else ["--pyargs", target] if kind == "PYTHON" else [target]
    more = split(project.expand(found.test_field("additionalArguments")), single_quotes=True)
    return [*PYTEST, *chosen, *more, *(["-k", keywords] if keywords else []), *PYTEST_OPTIONS]


def folder(project: Project, found: Configuration) -> Path:
    """The working directory; for tests that name none, the folder of the target."""
    named = project.expand(found.option("WORKING_DIRECTORY"))
    if not named and found.is_test and found.test_field("targetType") == "PATH":
        target = Path(project.expand(found.test_field("target")))
        return target if target.is_dir() else target.parent
    return Path(named) if named else project.root


def variables(project: Project, found: Configuration, python: Path) -> dict[str, str]:
    """In PyCharm's order: the parent's, env files, the configuration's own, then what PyCharm sets itself."""
    parent = dict(os.environ) if found.flag("PARENT_ENVS") else {}
    own = {name: project.expand(value) for name, value in found.environment.items()}
    given = parent | env_file(Path(project.expand(found.option("ENV_FILES")))) | own
    given |= {"PYTHONUNBUFFERED": "1", "PYCHARM_HOSTED": "1", "PYTHONIOENCODING": "UTF-8"}
    if found.is_test:
        given["PYTEST_RUN_CONFIG"] = "True"
    if found.flag("EMULATE_TERMINAL") and not WINDOWS:
        given["TERM"] = "xterm-256color"
    if path := python_path(project, found, own.get("PYTHONPATH"), parent.get("PYTHONPATH")):
        given["PYTHONPATH"] = path
    return given | activated(python, given) | {name: own[name] for name in own if name == "VIRTUAL_ENV"}


def python_path(project: Project, found: Configuration, own: str | None, parents: str | None) -> str:
    """The configuration's own, the roots, then the parent's unless there is one of its own."""
    roots = [
        *(project.content_roots if found.flag("ADD_CONTENT_ROOTS") else []),
        *(project.source_roots if found.flag("ADD_SOURCE_ROOTS") else []),
    ]
    return os.pathsep.join([*filter(None, [own]), *map(str, roots), *([parents] if parents and not own else [])])


def activated(python: Path, given: dict[str, str]) -> dict[str, str]:
    """What activating a virtual environment sets."""
    environment = python.parent.parent
    if not (environment / "pyvenv.cfg").is_file():
        return {}
    path = os.pathsep.join(filter(None, [str(python.parent), given.get("PATH")]))
    return {"VIRTUAL_ENV": str(environment), "PATH": path}


def env_file(path: Path) -> dict[str, str]:
    """The `KEY=value` lines of a file; an empty name is no file. One that is missing has a rule of its own."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [ENV_LINE.match(line) for line in lines if not line.lstrip().startswith("#")]
    return {match[1]: match[2].strip("\"'") for match in found if match}
