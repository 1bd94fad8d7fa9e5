"""Write the commit of a model into a config, and leave every other byte of it as it is."""

import os
import shutil
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError


def pin_revision(path: Path, commit: str) -> None:
    """Set `model.revision` of the config at `path`. Raises UserError if that cannot be done without touching more."""
    text = path.read_bytes().decode("utf-8")
    pinned = _pinned(text, commit)
    wanted = yaml.safe_load(text)
    wanted["model"]["revision"] = commit
    try:
        done = yaml.safe_load(pinned)
    except yaml.YAMLError:
        done = None
    if done != wanted:
        raise UserError(
            f'{path}: its layout is too unusual to be changed: write revision: "{commit}" under model yourself'
        )
    _replace(path, pinned.encode())


def _pinned(text: str, commit: str) -> str:
    root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    model = _entries(root)["model"][1]
    entries = _entries(model)
    # In quotes, for a commit may look like a number.
    value = f'"{commit}"'
    if "revision" in entries:
        old = entries["revision"][1]
        start, end = old.start_mark.index, old.end_mark.index
        space = " " if text[start - 1] == ":" else ""  # behind the colon of an empty value
        return text[:start] + space + value + text[end:]
    key, name = entries["name"]
    end = name.end_mark.index
    if model.flow_style:
        return f"{text[:end]}, revision: {value}{text[end:]}"
    line = f"{' ' * key.start_mark.column}revision: {value}"
    newline = "\r\n" if "\r\n" in text else "\n"
    end_of_line = text.find("\n", end)
    if end_of_line < 0:
        return text + newline + line
    return text[: end_of_line + 1] + line + newline + text[end_of_line + 1 :]


def _entries(node: Any) -> dict[str, tuple[Any, Any]]:
    return {key.value: (key, value) for key, value in node.value}


def _replace(path: Path, content: bytes) -> None:
    """Whole or not at all; the file keeps its mode, and a link stays a link."""
    path = path.resolve()
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        temporary.write_bytes(content)
        shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}): allow that") from error
