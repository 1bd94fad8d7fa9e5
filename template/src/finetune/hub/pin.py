"""Write the commit of a model into a config, and leave every other byte of the file as it is."""

import os
import shutil
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError


def pin_revision(path: Path, commit: str) -> None:
    """Set `model.revision` of the config at `path`.

    Raises UserError if that would change another value, or the file cannot be written.
    """
    text = path.read_bytes().decode("utf-8")
    expected = yaml.safe_load(text)
    expected["model"]["revision"] = commit
    pinned = _insert_revision(text, commit)
    try:
        found = yaml.safe_load(pinned)
    except yaml.YAMLError:
        found = None
    if found != expected:
        raise UserError(
            f'{path}: its layout is too unusual to be changed: write revision: "{commit}" under model yourself'
        )
    _replace(path, pinned.encode())


def _insert_revision(text: str, commit: str) -> str:
    """Insert text at the positions that the parser reports: writing the parsed config again would lose its layout."""
    root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    model = _entries(root)["model"][1]
    entries = _entries(model)
    value = f'"{commit}"'  # quoted, because a commit may look like a number
    if "revision" in entries:
        old = entries["revision"][1]
        start, end = old.start_mark.index, old.end_mark.index
        space = " " if text[start - 1] == ":" else ""  # `revision:` without a value
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


def _entries(mapping: Any) -> dict[str, tuple[Any, Any]]:
    """The key node and the value node of each key."""
    return {key.value: (key, value) for key, value in mapping.value}


def _replace(path: Path, content: bytes) -> None:
    """Replace a file atomically; it keeps its mode, and a symbolic link stays one."""
    path = path.resolve()
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        temporary.write_bytes(content)
        shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}): allow that") from error
