"""Find a run: the one in a folder, the newest with a model, the newest that was interrupted."""

import os
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from ..config.yaml_lines import read_yaml
from ..console import print_line
from ..errors import UserError
from ..files import entries
from .folder import STAGES, RunFolder

LATEST = "latest"
"""What a command takes in place of a run's folder: the newest."""


def find_run(name: str, console: Console | None = None) -> RunFolder:
    """The run in the folder `name`; `latest` is the newest that has a model, and `console` shows which one that is.

    Raises UserError if there is none.
    """
    if name == LATEST:
        if not (runs := newest_first()):
            raise UserError(
                f"{_places()}: there is no run yet: start one with `python -m finetune train configs/demo.yaml`"
            )
        found = next((run for run in runs if run.has_model), runs[0])
        newer = "" if found is runs[0] else f" ({runs[0].path} is newer, but has no model yet)"
        if console:
            print_line(console, escape(f"latest: {found.path}{newer}"))
        return found
    run = RunFolder(Path(name))
    if not os.path.isfile(run.config_file):  # False also for a name that no system allows
        others = ", ".join(sorted(str(run.path) for run in newest_first())) or "none yet"
        raise UserError(f"{name}: is not the folder of a run (runs here: {others}): name one of them, or latest")
    return run


def find_interrupted() -> RunFolder:
    """The newest run whose training was interrupted. Raises UserError if there is none."""
    for run in newest_first():
        if run.is_interrupted():
            return run
    raise UserError(f"{_places()}: no run was interrupted: start one with `python -m finetune train configs/demo.yaml`")


def newest_first() -> list[RunFolder]:
    """All runs, by the time of their last step."""
    folders = [RunFolder(path) for place in run_places() for path in entries(place) if not path.name.startswith(".")]
    return sorted((run for run in folders if os.path.isfile(run.config_file)), key=_last_written, reverse=True)


def run_places(configs: Path = Path("configs")) -> list[Path]:
    """Where trainings write: `run.dir` of each config that can be read, and its default `runs`."""
    places = [Path("runs")]
    for file in sorted(configs.glob("*.yaml")):
        with suppress(UserError):
            section = read_yaml(file).plain().get("run")
            if isinstance(section, dict) and isinstance(section.get("dir"), str):
                places.append(Path(section["dir"]))
    return list({place.resolve(): place for place in places}.values())


def _places() -> str:
    return ", ".join(map(str, run_places()))


def _last_written(run: RunFolder) -> float:
    logs = [run.metrics_file, *run.path.glob(f"{STAGES}/*/{run.metrics_file.name}")]
    return max(file.stat().st_mtime for file in (run.config_file, *logs) if os.path.isfile(file))
