"""YAML with the line of each key, so that every error can name file and line."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError


@dataclass
class Node:
    """A value of the config and its place, file:line or the argument."""

    value: Any
    origin: str
    children: dict[str, "Node"] = field(default_factory=dict)
    """Of a section by their keys; of a list of sections by their numbers."""

    def plain(self) -> Any:
        """The value without places, for validation."""
        if self.children and isinstance(self.value, list):
            return [child.plain() for child in self.children.values()]
        return {key: child.plain() for key, child in self.children.items()} if self.children else self.value

    def set(self, path: tuple[str, ...], value: Any, origin: str) -> None:
        """Put `value` at `path`; sections on the way are made."""
        node = self
        for name in path[:-1]:
            node = node.children.setdefault(name, Node({}, origin))
        node.children[path[-1]] = _from_plain(value, origin)

    def place(self, path: tuple[str, ...]) -> str:
        """The place of the longest existing part of `path`, such as `configs/train.yaml:12`."""
        node = self
        for name in path:
            if name not in node.children:
                break
            node = node.children[name]
        return node.origin

    def known_path(self, location: tuple[str | int, ...]) -> tuple[str, ...]:
        """The keys of a pydantic location, without what pydantic puts in between: names of union members, indices."""
        node, path = self, []
        for index, part in enumerate(location):
            name = str(part)
            if name in node.children:
                node = node.children[name]
            elif not self._missing_key(node, name, last=index == len(location) - 1):
                continue
            path.append(name)
        return tuple(path)

    @staticmethod
    def _missing_key(node: "Node", name: str, last: bool) -> bool:
        is_section = bool(node.children) or node.value in ({}, None)
        is_tag = "type" in node.children and node.children["type"].value == name
        return last and is_section and not is_tag


def read_yaml(path: Path) -> Node:
    """Parse a YAML file whose root is a mapping."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text: save the config as UTF-8") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): check the path of the config") from error
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UserError(
            f"{place}: this is not YAML: {error.problem or error.context}: check the indentation"
        ) from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: this is not YAML: {error}".splitlines()[0]) from error
    if not isinstance(tree, yaml.MappingNode):
        raise UserError(f"{path}:1: a config is a mapping with keys such as task, model and data")
    return _from_yaml(tree, path, ())


def parse_override(text: str) -> tuple[tuple[str, ...], Any, str]:
    """`train.epochs=5` as path, value (read as YAML) and place."""
    key, equals, value = text.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path):
        raise UserError(f"argument '{text}': write an override as key.sub=value, such as train.epochs=5")
    try:
        return path, yaml.safe_load(value), f"argument '{text}'"
    except yaml.YAMLError as error:
        raise UserError(f"argument '{text}': the value is not YAML: put it in quotes") from error


def _from_yaml(node: yaml.Node, path: Path, keys: tuple[str, ...]) -> Node:
    place = f"{path}:{node.start_mark.line + 1}"
    if isinstance(node, yaml.SequenceNode) and any(isinstance(item, yaml.MappingNode) for item in node.value):
        items = {str(i): _from_yaml(item, path, (*keys, str(i))) for i, item in enumerate(node.value)}
        return Node([], place, items)
    if not isinstance(node, yaml.MappingNode):
        loader = yaml.SafeLoader("")
        try:
            return Node(loader.construct_object(node, deep=True), place)
        except yaml.MarkedYAMLError as error:
            raise UserError(f"{place}: '{'.'.join(keys)}': {error.problem}: write a plain value") from error
    result = Node({}, place)
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise UserError(f"{path}:{key_node.start_mark.line + 1}: a key must be a word, such as train")
        key = str(key_node.value)
        if key in result.children:
            raise UserError(
                f"{path}:{key_node.start_mark.line + 1}: '{'.'.join((*keys, key))}' is given twice: keep one"
            )
        child = _from_yaml(value_node, path, (*keys, key))
        # A section's place is its key's line, not the line of its first entry.
        child.origin = f"{path}:{key_node.start_mark.line + 1}"
        result.children[key] = child
    return result


def _from_plain(value: Any, origin: str) -> Node:
    if isinstance(value, dict):
        return Node({}, origin, {str(key): _from_plain(child, origin) for key, child in value.items()})
    return Node(value, origin)
