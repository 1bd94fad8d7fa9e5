"""The command line, working directory and environment variables with which PyCharm starts a configuration."""

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
"""As PyCharm's own runner calls it, but without the current folder on sys.path, which would hide a missing root."""

PYTEST_OPTIONS = ("--no-header", "--no-summary", "-q")
ENV_LINE = re.compile(r"\s*(?:export\s+)?(\w+)\s*=\s*(.*?)\s*$")


@dataclass(frozen=True)
class Command:
    """Command-line arguments, working directory and environment variables."""

    arguments: tuple[str, ...]
    folder: Path
    variables: dict[str, str]
    terminal: bool = False
    """Whether PyCharm emulates a terminal, so that a program shows progress bars and colours."""

    def with_more(self, *arguments: str) -> Command:
        return replace(self, arguments=(*self.arguments, *arguments))


def interpreter(root: Path) -> Path:
    """The interpreter in a project's .venv."""
    return root / ".venv" / ("Scripts/python.exe" if WINDOWS else "bin/python")


def command(project: Project, configuration: Configuration, python: Path) -> Command:
    """The command of a Python or test configuration."""
    options = split(project.expand(configuration.option("INTERPRETER_OPTIONS")))
    program = test_program(project, configuration) if configuration.is_test else python_program(project, configuration)
    return Command(
        (str(python), *options, *program),
        folder(project, configuration),
        variables(project, configuration, python),
        configuration.flag("EMULATE_TERMINAL"),
    )


def python_program(project: Project, configuration: Configuration) -> list[str]:
    script = project.expand(configuration.option("SCRIPT_NAME"))
    arguments = split(project.expand(configuration.option("PARAMETERS")))
    return [*(["-m", script] if configuration.in_module_mode else [script]), *arguments]


def test_program(project: Project, configuration: Configuration) -> list[str]:
    """The call of pytest; a target that is a dotted name is resolved by pytest itself."""
    kind, target = configuration.test_field("targetType"), project.expand(configuration.test_field("target"))
    keywords = configuration.test_field("keywords")
    chosen = [] if kind == "CUSTOM" else ["--pyargs", target] if kind == "PYTHON" else [target]
    more = split(project.expand(configuration.test_field("additionalArguments")), single_quotes=True)
    return [*PYTEST, *chosen, *more, *(["-k", keywords] if keywords else []), *PYTEST_OPTIONS]


def folder(project: Project, configuration: Configuration) -> Path:
    """The working directory; for tests without one, the folder of the target."""
    named = project.expand(configuration.option("WORKING_DIRECTORY"))
    if not named and configuration.is_test and configuration.test_field("targetType") == "PATH":
        target = Path(project.expand(configuration.test_field("target")))
        return target if target.is_dir() else target.parent
    return Path(named) if named else project.root


def variables(project: Project, configuration: Configuration, python: Path) -> dict[str, str]:
    """In PyCharm's order: inherited, from env files, of the configuration, then those that PyCharm sets itself."""
    parent = dict(os.environ) if configuration.flag("PARENT_ENVS") else {}
    own = {name: project.expand(value) for name, value in configuration.environment.items()}
    given = parent | env_file(project, Path(project.expand(configuration.option("ENV_FILES")))) | own
    given |= {"PYTHONUNBUFFERED": "1", "PYCHARM_HOSTED": "1", "PYTHONIOENCODING": "UTF-8"}
    if configuration.is_test:
        given["PYTEST_RUN_CONFIG"] = "True"
    if configuration.flag("EMULATE_TERMINAL") and not WINDOWS:
        given["TERM"] = "xterm-256color"
    if path := python_path(project, configuration, own.get("PYTHONPATH"), parent.get("PYTHONPATH")):
        given["PYTHONPATH"] = path
    return given | activated(python, given) | {name: own[name] for name in own if name == "VIRTUAL_ENV"}


def python_path(project: Project, configuration: Configuration, own: str | None, inherited: str | None) -> str:
    """PYTHONPATH: the configuration's own, then the roots, then the inherited one unless there is an own one."""
    roots = [
        *(project.content_roots if configuration.flag("ADD_CONTENT_ROOTS") else []),
        *(project.source_roots if configuration.flag("ADD_SOURCE_ROOTS") else []),
    ]
    return os.pathsep.join([*filter(None, [own]), *map(str, roots), *([inherited] if inherited and not own else [])])


def activated(python: Path, given: dict[str, str]) -> dict[str, str]:
    """The variables that activating the virtual environment sets."""
    environment = python.parent.parent
    if not (environment / "pyvenv.cfg").is_file():
        return {}
    path = os.pathsep.join(filter(None, [str(python.parent), given.get("PATH")]))
    return {"VIRTUAL_ENV": str(environment), "PATH": path}


def env_file(project: Project, path: Path) -> dict[str, str]:
    """The `KEY=value` lines of a file; none if it does not exist, for which there is a rule."""
    lines = (project.text(path) or "").splitlines()
    found = [ENV_LINE.match(line) for line in lines if not line.lstrip().startswith("#")]
    return {match[1]: match[2].strip("\"'") for match in found if match}
