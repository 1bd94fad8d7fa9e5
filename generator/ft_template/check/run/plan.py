"""How each configuration is tried: as it stands where that takes moments, else cut short, which is said."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

from ..project.configuration import Configuration
from ..project.project import Project
from ..project.yaml_file import load
from .command import Command, activated, command

OFFLINE = {"HF_HUB_OFFLINE": "1"}
REFUSAL = re.compile(r"error:.*(HF_HUB_OFFLINE|nothing to fetch)", re.DOTALL)
"""How the package says that it may not download, or need not."""

FEW_STEPS = "train.max_steps"
INSTALLER = "setup_env.py"
LOAD = ("-c", "import runpy, sys; runpy.run_path(sys.argv[1], run_name='loaded')")
IMPORT = """
import importlib, pkgutil, sys
name, inside = sys.argv[1], sys.argv[2:] == ["with all inside"]
package = importlib.import_module(name)
for module in pkgutil.walk_packages(package.__path__, f"{name}.") if inside else ():
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""


class Turn(IntEnum):
    """What has to come first: a training before what is done with its model."""

    SETUP, TRAIN, RESUME, USE = range(4)


@dataclass(frozen=True)
class Plan:
    """A command, and what has to become of it."""

    command: Command
    said: str
    """What is run and what is not, in words."""

    turn: Turn = Turn.USE
    serves: bool = False
    """It has to answer on this machine, and is then stopped."""

    refuses: bool = False
    """It has to say that it may not download, unless all is there."""


def plan(project: Project, found: Configuration, python: Path) -> Plan:
    """How to try a Python or test configuration, with the command line of PyCharm."""
    started = offline(command(project, found, python))
    if found.is_test:
        return Plan(started.with_more("--collect-only"), "tests collected, not run")
    if is_installer(found):
        load = (*started.arguments[:-1], *LOAD, started.arguments[-1])
        return Plan(replace(started, arguments=load), "loaded only: it would install packages", Turn.SETUP)
    verb = verb_of(found)
    if verb == "serve" or found.option("SCRIPT_NAME").startswith("tensorboard"):
        return Plan(started, "until it answers", serves=True)
    if verb == "fetch":
        return Plan(started, "without network, which it has to say", Turn.SETUP, refuses=True)
    if verb in ("train", "check-data"):
        is_long = verb == "train" and not any(argument.startswith(FEW_STEPS) for argument in found.arguments)
        more = [*([f"{FEW_STEPS}=2"] if is_long else []), *small_model(project, found)]
        turn = Turn.SETUP if verb != "train" else Turn.RESUME if "--resume" in found.arguments else Turn.TRAIN
        return Plan(started.with_more(*more), f"with {' '.join(more)}" if more else "as it stands", turn)
    return Plan(started, "as it stands", Turn.SETUP if verb == "doctor" else Turn.USE)


def terminal_plan(project: Project, found: Configuration, python: Path) -> Plan:
    """What a terminal finds of the same program, without PyCharm's roots: its imports."""
    parent = variables_of_a_terminal(python)
    in_terminal = replace(command(project, found, python), variables=parent, terminal=False)
    if found.is_test:
        return Plan(in_terminal.with_more("--collect-only"), "tests collected")
    script = found.option("SCRIPT_NAME")
    if not found.in_module_mode:
        code: tuple[str, ...] = (*LOAD, project.expand(script))
    else:
        inside = any((root / script).is_dir() for root in project.source_roots)
        code = ("-c", IMPORT, script, *(["with all inside"] if inside else []))
    return Plan(replace(in_terminal, arguments=(str(python), *code)), "imported")


def variables_of_a_terminal(python: Path) -> dict[str, str]:
    """The package may be found where it is installed from, the user's own folder, which stays as it is."""
    return dict(os.environ) | activated(python, dict(os.environ)) | OFFLINE | {"PYTHONDONTWRITEBYTECODE": "1"}


def offline(given: Command) -> Command:
    return replace(given, variables=given.variables | OFFLINE)


def is_installer(found: Configuration) -> bool:
    return found.is_python and not found.in_module_mode and found.option("SCRIPT_NAME").endswith(f"/{INSTALLER}")


def verb_of(found: Configuration) -> str:
    """The verb of the package's own command line; empty for other programs."""
    arguments = found.arguments
    return arguments[0] if found.option("SCRIPT_NAME") == "finetune" and arguments else ""


def small_model(project: Project, found: Configuration) -> Iterator[str]:
    """Overrides that put the demo's model, which needs no download, in the place of one from the Hub."""
    config = next((argument for argument in found.arguments if argument.endswith((".yaml", ".yml"))), "")
    name = model_of(project.root / config)
    demo = model_of(project.root / "configs" / "demo.yaml")
    if demo and name and not name.startswith("tiny:") and not (project.root / name).is_dir():
        yield from (f"model.name={demo}", "model.revision=null")


def model_of(path: Path) -> str:
    """The model that a config names; an empty text where it names none, of which the package says more."""
    try:
        document: Any = load(path)
    except (OSError, ValueError):
        return ""
    model = document.get("model") if isinstance(document, dict) else None
    return str(model.get("name", "")) if isinstance(model, dict) else ""
