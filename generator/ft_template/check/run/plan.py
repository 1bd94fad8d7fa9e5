"""How to run each configuration: unchanged if it takes moments, else shortened, with a description."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

from ...parsing import parse_yaml
from ..project.configuration import Configuration
from ..project.project import Project
from .command import Command, activated, command

OFFLINE = {"HF_HUB_OFFLINE": "1"}
NO_DOWNLOAD = re.compile(r"error:.*(HF_HUB_OFFLINE|nothing to fetch)", re.DOTALL)
"""The package's error message if it may not download, or has nothing to download."""
NOTHING_TO_RESUME = re.compile(r"error:.*no run was interrupted", re.DOTALL)
"""The package's error message if `train latest --resume` finds no interrupted run: the trainings before have ended."""

NOTHING_TO_COMPARE = re.compile(r"error:.*compare: ", re.DOTALL)
"""The package's error message if `compare` finds no two runs, or two that were not scored on the same rows."""

MAX_STEPS = "train.max_steps"
INSTALLER = "setup_env.py"
PACKAGE = "finetune"
LOAD = ("-c", "import runpy, sys; runpy.run_path(sys.argv[1], run_name='loaded')")
IMPORT = """
import importlib, pkgutil, sys
name, recursive = sys.argv[1], sys.argv[2:] == ["--recursive"]
package = importlib.import_module(name)
for module in pkgutil.walk_packages(package.__path__, f"{name}.") if recursive else ():
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""


class Phase(IntEnum):
    """The order of the starts: trainings before what uses their model."""

    SETUP, TRAIN, RESUME, USE = range(4)


@dataclass(frozen=True)
class Plan:
    """A command and its expected outcome."""

    command: Command
    description: str
    """What is run and how it is shortened."""

    phase: Phase = Phase.USE
    is_server: bool = False
    """It must answer on this machine, and is then stopped."""

    refusal: re.Pattern[str] | None = None
    """The error message with which it may refuse to do its work."""


def plan(project: Project, configuration: Configuration, python: Path) -> Plan:
    """How to run a Python or test configuration, with PyCharm's command line and without network."""
    started = offline(command(project, configuration, python))
    if configuration.is_test:
        return Plan(started.with_more("--collect-only"), "tests collected, not run")
    if is_installer(configuration):
        load_only = (*started.arguments[:-1], *LOAD, started.arguments[-1])
        return Plan(replace(started, arguments=load_only), "loaded only: it would install packages", Phase.SETUP)
    verb = verb_of(configuration)
    if verb == "serve":
        no_browser = replace(started, arguments=tuple(one for one in started.arguments if one != "--open"))
        return Plan(no_browser.with_more("--port", "0"), "until it answers, at a free port", is_server=True)
    if configuration.option("SCRIPT_NAME").startswith("tensorboard"):
        return Plan(started, "until it answers", is_server=True)
    if verb == "fetch":
        return Plan(started, "without network, which it must report", Phase.SETUP, refusal=NO_DOWNLOAD)
    if verb == "train" and package_arguments(configuration)[1:2] == ["latest"]:
        return Plan(started, "unchanged; it may find no interrupted run", Phase.RESUME, refusal=NOTHING_TO_RESUME)
    if verb == "compare":
        return Plan(started, "unchanged; it may find no two runs to compare", refusal=NOTHING_TO_COMPARE)
    if verb == "train":
        return training_plan(project, configuration, started)
    if verb == "sweep":
        return shortened(started, small_sweep(project, configuration), Phase.USE)
    if verb == "pipeline":
        return shortened(started, [f"{stage}.{MAX_STEPS}=2" for stage in ("retrieval", "ranking", "chat")], Phase.USE)
    if verb == "check-data":
        return shortened(started, small_model(project, configuration), Phase.SETUP)
    return Plan(started, "unchanged", Phase.SETUP if verb == "doctor" else Phase.USE)


def training_plan(project: Project, configuration: Configuration, started: Command) -> Plan:
    """Two steps with a small model, unless the configuration itself limits its steps."""
    is_short = any(argument.startswith(MAX_STEPS) for argument in configuration.arguments)
    overrides = [*([] if is_short else [f"{MAX_STEPS}=2"]), *small_model(project, configuration)]
    phase = Phase.RESUME if "--resume" in configuration.arguments else Phase.TRAIN
    return shortened(started, overrides, phase)


def shortened(started: Command, overrides: Iterable[str], phase: Phase) -> Plan:
    more = list(overrides)
    return Plan(started.with_more(*more), f"with {' '.join(more)}" if more else "unchanged", phase)


def terminal_plan(project: Project, configuration: Configuration, python: Path) -> Plan:
    """Import the same program as a terminal does, without PyCharm's roots."""
    variables = terminal_variables(python)
    in_terminal = replace(command(project, configuration, python), variables=variables, terminal=False)
    if configuration.is_test:
        return Plan(in_terminal.with_more("--collect-only"), "tests collected")
    script = configuration.option("SCRIPT_NAME")
    if not configuration.in_module_mode:
        code: tuple[str, ...] = (*LOAD, project.expand(script))
    else:
        is_own = any((root / script).is_dir() for root in project.source_roots)
        code = ("-c", IMPORT, script, *(["--recursive"] if is_own else []))
    return Plan(replace(in_terminal, arguments=(str(python), *code)), "imported")


def terminal_variables(python: Path) -> dict[str, str]:
    """The environment of a terminal with the .venv activated.

    No bytecode is written: an editable installation imports from the user's own folder, which must not change.
    """
    return dict(os.environ) | activated(python, dict(os.environ)) | OFFLINE | {"PYTHONDONTWRITEBYTECODE": "1"}


def offline(given: Command) -> Command:
    return replace(given, variables=given.variables | OFFLINE)


def is_installer(configuration: Configuration) -> bool:
    is_script = configuration.is_python and not configuration.in_module_mode
    return is_script and configuration.option("SCRIPT_NAME").endswith(f"/{INSTALLER}")


def verb_of(configuration: Configuration) -> str:
    """The verb of the package's command line; empty for other programs."""
    return next(iter(package_arguments(configuration)), "")


def package_arguments(configuration: Configuration) -> list[str]:
    """The arguments that the package gets, from torchrun, too; none for other programs."""
    script, arguments = configuration.option("SCRIPT_NAME"), configuration.arguments
    if script == "torch.distributed.run" and PACKAGE in arguments:
        return arguments[arguments.index(PACKAGE) + 1 :]
    return arguments if script == PACKAGE else []


def small_sweep(project: Project, configuration: Configuration) -> Iterator[str]:
    """One trial of two steps in a folder of its own, with a small model."""
    yield from ("trials=1", "seeds=1", "name=check-run", f"vary.{MAX_STEPS}=[2]")
    sweep = document_of(project, config_of(configuration))
    for override in model_overrides(project, str(sweep.get("config", ""))):
        key, value = override.split("=")
        yield f"vary.{key}=[{value}]"


def small_model(project: Project, configuration: Configuration) -> Iterator[str]:
    """Overrides that replace a model from the Hub by the demo's tiny model, which needs no download."""
    return model_overrides(project, config_of(configuration))


def config_of(configuration: Configuration) -> str:
    """The YAML file among the arguments; empty if there is none."""
    return next((argument for argument in configuration.arguments if argument.endswith((".yaml", ".yml"))), "")


def model_overrides(project: Project, config: str) -> Iterator[str]:
    """Overrides of a config, as `small_model` gives them."""
    name = model_of(project, config)
    demo = model_of(project, "configs/demo.yaml")
    if demo and name and not name.startswith("tiny:") and not (project.root / name).is_dir():
        yield from (f"model.name={demo}", "model.revision=null")


def model_of(project: Project, config: str) -> str:
    """The model that a config names; empty if it cannot be read, as the package itself reports that."""
    model = document_of(project, config).get("model")
    return str(model.get("name", "")) if isinstance(model, dict) else ""


def document_of(project: Project, config: str) -> dict[str, Any]:
    """The content of a YAML file; nothing if it cannot be read."""
    try:
        document = parse_yaml(project.text(project.root / config) or "")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
