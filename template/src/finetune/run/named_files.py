"""Files that a run names: data, a base model, an earlier run. A run may come from anybody, and name any file.

Those of the project are read, unless a link leads out of it. Another file of this machine is read only if it is what
the run was trained on, by its checksum: who made the run then knows its content. The command line and configs name
files without such limits.
"""

import os
from collections.abc import Collection, Iterable
from pathlib import Path, PureWindowsPath

from ..config.config import Config, Model
from ..data.files import checksum, files_of
from ..errors import UserError
from ..files import MANIFEST
from .folder import RunFolder

IS_WINDOWS = os.name == "nt"


def require_named_data(run: RunFolder, sources: Iterable[str], remedy: str) -> None:
    """Raise UserError for data that a run must not name; `remedy` is how the person does."""
    recorded = run.environment().get("data", {}).values()
    for source in sources:
        if names_network(source) or any(not _may_be_read(path, run, recorded) for path in files_of([source])):
            raise UserError(
                f"{run.config_file}: names {source}, which lies outside of the current folder and is not the file that "
                f"the run recorded: {remedy}"
            )


def require_named_model(run: RunFolder, model: Model) -> None:
    """Raise UserError for a base model outside of the project."""
    path = Path(model.name)
    if names_network(model.name) or (path.exists() and not _is_of_project(path.resolve(), run)):
        raise UserError(f"{run.config_file}: model.name is {model.name}, which lies outside of the current folder")


def require_named_files(run: RunFolder, config: Config) -> None:
    """Raise UserError for what the config of a run that is resumed must not name."""
    parts = [stage.data for stage in config.stages] or [config.data]
    files = [file for data in parts for some in (data.train, data.validation, data.test) for file in some or ()]
    remedy = "resume the run by its config file"
    require_named_data(run, files, remedy)
    if names_network(config.model.name):
        raise UserError(f"{run.config_file}: model.name is {config.model.name}, on another machine: {remedy}")
    if config.continue_from and not knows_earlier_run(run, RunFolder(config.continue_from)):
        raise UserError(
            f"{run.config_file}: continue_from is {config.continue_from}, which is not the run that was recorded: "
            f"{remedy}"
        )


def knows_earlier_run(run: RunFolder, earlier: RunFolder) -> bool:
    """Whether the run that `run` went on from is still there, by the checksum of the manifest of its model."""
    manifest = earlier.best / MANIFEST
    recorded = run.environment().get("data", {}).values()
    return not names_network(str(earlier.path)) and os.path.isfile(manifest) and checksum(manifest) in recorded


def names_network(path: str) -> bool:
    r"""Whether a path leads to another machine: on Windows, `\\server\share` logs in there."""
    return IS_WINDOWS and PureWindowsPath(path).drive.startswith("\\\\")


def _may_be_read(path: Path, run: RunFolder, recorded: Collection[str]) -> bool:
    return _is_of_project(path.resolve(), run) or checksum(path) in recorded


def _is_of_project(place: Path, run: RunFolder) -> bool:
    """Whether a path without links lies in the current folder, neither hidden nor in the run."""
    project = Path.cwd().resolve()
    if not place.is_relative_to(project) or place.is_relative_to(run.path.resolve()):
        return False
    return not any(part.startswith(".") for part in place.relative_to(project).parts)
