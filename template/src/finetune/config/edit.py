"""Change values in a config file, and leave every other byte as it is: comments, order, layout."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError
from ..files import write_atomic


def edited(path: Path, changes: Mapping[str, Mapping[str, Any]]) -> str:
    """The text of the config at `path` with other values, `{section: {key: value}}`.

    A key that the section does not have is inserted below the key before it. Raises UserError if the layout of the file
    does not allow that without changing anything else.
    """
    text = path.read_bytes().decode("utf-8")
    before = yaml.safe_load(text)
    expected = {**before, **{section: {**before[section], **values} for section, values in changes.items()}}
    new, changed = text, []
    try:
        for section, values in changes.items():
            previous = ""
            for key, value in values.items():
                if key not in before[section] or before[section][key] != value:
                    changed.append(f"{key}: {_inline(value)} under {section}")
                    new = _set(new, section, key, value, previous)
                previous = key
        found = yaml.safe_load(new)
    except (yaml.YAMLError, KeyError):
        found = None
    if found != expected:
        told = " and ".join(changed)
        raise UserError(f"{path}: its layout is too unusual to be changed: write {told} yourself")
    return new


def replace_file(path: Path, text: str) -> None:
    """Replace a file atomically; it keeps its mode, and a symbolic link stays one."""
    path = path.resolve()
    try:
        write_atomic(path, text)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}): allow that") from error


def _set(text: str, section: str, key: str, value: Any, previous: str) -> str:
    """Insert text at the positions that the parser reports: writing the parsed config again would lose its layout."""
    root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    mapping = _entries(root)[section][1]
    entries = _entries(mapping)
    shown = _inline(value)
    if key in entries:
        name, old = entries[key]
        start, end = old.start_mark.index, _end(old)
        if not isinstance(old, yaml.ScalarNode) and not old.flow_style:  # a block, which begins in a line of its own
            start = name.end_mark.index + 1
            if "#" in text[start:end]:
                raise KeyError(key)  # a comment would be lost
        space = " " if text[start - 1] == ":" else ""  # also `key:` without a value
        return text[:start] + space + shown + text[end:]
    name, old = entries[previous]
    end = _end(old)
    if mapping.flow_style:
        return f"{text[:end]}, {key}: {shown}{text[end:]}"
    line = f"{' ' * name.start_mark.column}{key}: {shown}"
    newline = "\r\n" if "\r\n" in text else "\n"
    end_of_line = text.find("\n", end)
    if end_of_line < 0:
        return text + newline + line
    return text[: end_of_line + 1] + line + newline + text[end_of_line + 1 :]


def _entries(mapping: Any) -> dict[str, tuple[Any, Any]]:
    """The key node and the value node of each key."""
    return {key.value: (key, value) for key, value in mapping.value}


def _end(node: Any) -> int:
    """Where a value ends. The parser lets a block end at the next key, behind blank lines and comments."""
    while not isinstance(node, yaml.ScalarNode) and not node.flow_style:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    return int(node.end_mark.index)


def _inline(value: Any) -> str:
    """A value as YAML in one line. Strings are quoted: a commit may look like a number, a path like a list."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_inline(item)}" for key, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)
