"""Write the commit of a model into a config."""

from pathlib import Path

import yaml

from ..config.edit import edited, replace_file


def pin_revision(path: Path, commit: str) -> None:
    """Set `model.revision` of the config at `path`, below `model.name`; nothing else in the file changes.

    Raises UserError if that is not possible, or the file cannot be written.
    """
    name = yaml.safe_load(path.read_bytes())["model"]["name"]
    replace_file(path, edited(path, {"model": {"name": name, "revision": commit}}))
