"""YAML as an editor's schema validation reads it, and the line of a value."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml


class Loader(yaml.SafeLoader):
    """PyYAML implements YAML 1.1, where 2e-5 is a text; PyCharm, VS Code and the package read a number."""


Loader.yaml_implicit_resolvers = {key: list(pairs) for key, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()}
Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+[eE][-+]?\d+$"), list("-+0123456789"))


def load(path: Path) -> Any:
    """Raises ValueError, with the line, if the file is not YAML."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"{line}{error.problem}") from error
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def line_of(path: Path, keys: Iterable[str | int]) -> int:
    """The line of the value at this path of keys, or of its nearest section that exists."""
    node = yaml.compose(path.read_text(encoding="utf-8"), Loader)
    line = 1
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            inside = {name.value: (name, value) for name, value in node.value}
        elif isinstance(node, yaml.SequenceNode):
            inside = {str(number): (value, value) for number, value in enumerate(node.value)}
        else:
            break
        if str(key) not in inside:
            break
        name, node = inside[str(key)]
        line = name.start_mark.line + 1
    return line
