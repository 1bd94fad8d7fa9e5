"""YAML with the line of each key, so that every error can name file and line."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError
from .yaml_words import Loader, full_width, line_without_blank, misread, remedy, without_blank

RESERVED = tuple("*&!%@`|>")
"""What begins no value of YAML but an alias, a tag and the like; an argument such as *.csv is the text as it stands."""


@dataclass
class Node:
    """A value of the config and its place, file:line or the argument."""

    value: Any
    origin: str
    children: dict[str, "Node"] = field(default_factory=dict)
    """Of a section by their keys; of a list by their numbers."""
    text: str = ""
    """How a value without quotes is written."""

    def plain(self) -> Any:
        """The value without places, for validation."""
        if self.children and isinstance(self.value, list):
            return [child.plain() for child in self.children.values()]
        return {key: child.plain() for key, child in self.children.items()} if self.children else self.value

    def set(self, path: tuple[str, ...], child: "Node") -> None:
        """Put `child` at `path`; sections on the way are made."""
        node = self
        for name in path[:-1]:
            node = node.children.setdefault(name, Node({}, child.origin))
        node.children[path[-1]] = child

    def take_text(self, path: tuple[str, ...]) -> bool:
        """Take the value at `path` as it is written, such as a label `true` or `2024`; whether that changes it.

        A null stays one, unless it stands in a list or a table.
        """
        node = self
        for name in path:
            if name not in node.children:
                return False
            node = node.children[name]
        if not node.text or node.text == node.value or (node.value is None and len(path) < 3):
            return False
        node.value, node.children = node.text, {}
        return True

    def place(self, path: tuple[str, ...]) -> str:
        """The place of the longest existing part of `path`, such as `configs/train.yaml:12`."""
        node = self
        for name in path:
            if name not in node.children:
                break
            node = node.children[name]
        return node.origin

    def keys_without_value(self, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        """The paths of all keys behind which nothing is written."""
        for key, child in self.children.items():
            if child.children:
                yield from child.keys_without_value((*path, key))
            elif child.value is None and not child.text:
                yield *path, key

    def known_path(self, location: tuple[str | int, ...], *, is_missing: bool = False) -> tuple[str, ...]:
        """The keys of a pydantic location, without what pydantic puts in between: names of union members, indices.

        `is_missing`: its last part is a key that is not there.
        """
        node, path = self, []
        for index, part in enumerate(location):
            name = str(part)
            if name in node.children:
                node = node.children[name]
            elif not (is_missing and self._missing_key(node, name, last=index == len(location) - 1)):
                continue
            path.append(name)
        return tuple(path)

    @staticmethod
    def _missing_key(node: "Node", name: str, last: bool) -> bool:
        is_section = not isinstance(node.value, list) and (bool(node.children) or node.value in ({}, None))
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
        tree = yaml.compose(text, Loader=Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        what = f"this is not YAML: {error.problem or error.context}"
        known = remedy(error, text)
        line = line_without_blank(error, text)
        if not known and line is not None:
            place, known = f"{path}:{line + 1}", without_blank(text.splitlines()[line])
        raise UserError(f"{place}: {what}: {known or 'check the indentation'}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: this is not YAML: {error}".splitlines()[0]) from error
    if not isinstance(tree, yaml.MappingNode):
        lines = text.splitlines()
        hint = full_width(lines) or next(filter(None, map(without_blank, lines)), "")
        raise UserError(f"{path}:1: a config is a mapping with keys such as task, model and data{hint and f': {hint}'}")
    return _from_yaml(tree, text, lambda node: f"{path}:{node.start_mark.line + 1}", ())


def parse_override(text: str) -> tuple[tuple[str, ...], Node]:
    """`train.epochs=5` as path and value, which is read as YAML."""
    key, equals, value = text.partition("=")
    path, origin = tuple(key.strip().split(".")), f"argument '{text}'"
    if not equals or not all(path):
        raise UserError(f"{origin}: write an override as key.sub=value, such as train.epochs=5")
    if value.startswith(RESERVED):
        return path, Node(value, origin)
    try:
        tree = yaml.compose(value, Loader=Loader)
    except yaml.YAMLError as error:
        raise UserError(f"{origin}: the value is not YAML: {remedy(error, value) or 'put it in quotes'}") from error
    if tree is None:
        return path, Node(None, origin)
    node = _from_yaml(tree, value, lambda _: origin, path)
    node.text = node.text or value  # also of a list or a table, where a text such as {title} is wanted
    return path, node


def _from_yaml(node: yaml.Node, source: str, place_of: Callable[[yaml.Node], str], keys: tuple[str, ...]) -> Node:
    place = place_of(node)
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, source, place, keys)
    if isinstance(node, yaml.SequenceNode):
        items = {str(i): _from_yaml(item, source, place_of, (*keys, str(i))) for i, item in enumerate(node.value)}
        return Node([], place, items)
    result = Node({}, place)
    for key_node, value_node in node.value:
        place = place_of(key_node)
        if not isinstance(key_node, yaml.ScalarNode):
            raise UserError(f"{place}: a key must be a word, such as train")
        path = (*keys, str(key_node.value))
        if problem := misread(key_node, source, path):
            raise UserError(f"{place}: '{'.'.join(path)}': {problem}")
        if path[-1] in result.children:
            raise UserError(f"{place}: '{'.'.join(path)}' is given twice: keep one")
        child = _from_yaml(value_node, source, place_of, path)
        child.origin = place  # a section's place is its key's line, not the line of its first entry
        result.children[path[-1]] = child
    return result


def _scalar(node: yaml.ScalarNode, source: str, place: str, keys: tuple[str, ...]) -> Node:
    key = ".".join(keys)
    if problem := misread(node, source, keys):
        raise UserError(f"{place}: '{key}': {problem}")
    try:
        value = Loader("").construct_object(node)
    except (yaml.MarkedYAMLError, ValueError) as error:
        raise UserError(f"{place}: '{key}': {getattr(error, 'problem', error)}: write a plain value") from error
    return Node(value, place, text="" if node.style else str(node.value))
