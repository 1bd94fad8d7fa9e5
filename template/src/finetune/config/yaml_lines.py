"""YAML with the line of each key, so that every error can name file and line."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..console import counted
from ..errors import UserError
from ..parsing import DEEPEST, LARGEST_CONFIG, MOST_VALUES, SURROGATE, parsing, require_regular, shortened
from .yaml_words import Loader, full_width, line_without_blank, misread, remedy, without_blank

RESERVED = tuple("*&!%@`|>")
"""What begins no value of YAML but an alias, a tag and the like; an argument such as *.csv is the text as it stands."""
TAGS: dict[type[yaml.Node], list[str]] = {
    node: [f"tag:yaml.org,2002:{name}" for name in names]
    for node, names in (
        (yaml.ScalarNode, ["str", "int", "float", "bool", "null"]),
        (yaml.SequenceNode, ["seq"]),
        (yaml.MappingNode, ["map"]),
    )
}
"""What values may be; `!!timestamp`, `!!binary`, `!!set`, tags of Python and the like have no place in a config."""


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
        """Put `child` at `path`; sections on the way are made. Raises UserError for an item that a list lacks."""
        node = self
        for name in path:
            if isinstance(node.value, list) and name not in node.children:
                raise UserError(
                    f"{child.origin}: a list of {counted(len(node.children), 'item')} has no item '{shortened(name)}': "
                    f"items count from 0; write the whole list to make it longer"
                )
            parent, node = node, node.children.setdefault(name, Node({}, child.origin))
        parent.children[path[-1]] = child

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
    text = _text(path)
    try:
        loader = Loader(text)
    except yaml.reader.ReaderError as error:
        raise UserError(_no_text(str(path), text, error)) from error
    with parsing(lambda: f"{path}:{loader.line + 1}: this is not YAML", "write plain keys and values"):
        try:
            tree = loader.get_single_node()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f"{path}:{mark.line + 1}" if mark else str(path)
            what = f"this is not YAML: {shortened(str(error.problem or error.context))}"
            known = remedy(error, text)
            line = line_without_blank(error, text)
            if not known and line is not None:
                place, known = f"{path}:{line + 1}", without_blank(text.splitlines()[line])
            raise UserError(f"{place}: {what}: {known or 'check the indentation'}") from error
    if not isinstance(tree, yaml.MappingNode):
        lines = text.splitlines()
        hint = full_width(lines) or next(filter(None, map(without_blank, lines)), "")
        raise UserError(f"{path}:1: a config is a mapping with keys such as task, model and data{hint and f': {hint}'}")
    return _Tree(text, lambda node: f"{path}:{node.start_mark.line + 1}").node(tree, ())


def _text(path: Path) -> str:
    size = require_regular(path, "check the path of the config").st_size
    if size > LARGEST_CONFIG:
        raise UserError(f"{path}: has {size:,} bytes, and a config at most {LARGEST_CONFIG:,}: is it the right file?")
    with parsing(f"{path}: cannot be read", "check the path of the config"):
        content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: is not UTF-8 text: save the config as UTF-8") from error


def _no_text(path: str, text: str, error: yaml.reader.ReaderError) -> str:
    """The sentence on a character that YAML does not allow."""
    line = text.count("\n", 0, error.position) + 1
    kind = "the NUL character" if text[error.position] == "\0" else f"the control character {error.character:#04x}"
    return f"{path}:{line}: this is not YAML: {kind}: take it out, and save the config as UTF-8 text"


def parse_override(text: str) -> tuple[tuple[str, ...], Node]:
    """`train.epochs=5` as path and value, which is read as YAML."""
    key, equals, value = text.partition("=")
    path, origin = tuple(key.strip().split(".")), f"argument '{shortened(text)}'"
    if not equals or not all(path):
        raise UserError(f"{origin}: write an override as key.sub=value, such as train.epochs=5")
    if SURROGATE.search(text):
        raise UserError(f"{origin}: is not text in the encoding of this terminal: write it in UTF-8")
    if len(path) > DEEPEST:
        raise UserError(f"{origin}: the key has more than {DEEPEST} parts: write key.sub=value")
    if value.startswith(RESERVED):
        return path, Node(value, origin)
    with parsing(f"{origin}: the value is not YAML", "put it in quotes"):
        try:
            tree = yaml.compose(value, Loader=Loader)
        except yaml.YAMLError as error:
            raise UserError(f"{origin}: the value is not YAML: {remedy(error, value) or 'put it in quotes'}") from error
    if tree is None:
        return path, Node(None, origin)
    node = _Tree(value, lambda _: origin).node(tree, path)
    node.text = node.text or value  # also of a list or a table, where a text such as {title} is wanted
    return path, node


class _Tree:
    """What YAML has composed, with places; in the budget of depth and size, also where aliases repeat values."""

    def __init__(self, source: str, place_of: Callable[[yaml.Node], str]) -> None:
        self._source, self._place_of = source, place_of
        self._values = 0

    def node(self, node: yaml.Node, keys: tuple[str, ...], depth: int = 0) -> Node:
        """The value at `keys`. Raises UserError for what no config has, such as tags of Python."""
        place = self._place_of(node)
        self._values += 1
        if depth > DEEPEST:
            text = f"lists and mappings in more than {DEEPEST} levels, or an alias within what it repeats"
            raise UserError(f"{place}: '{_shown(keys)}': {text}: write plain keys and values")
        if self._values > MOST_VALUES:
            text = f"more than {MOST_VALUES:,} values, those that aliases repeat included"
            raise UserError(f"{place}: '{_shown(keys)}': {text}: write fewer")
        if node.tag not in TAGS[type(node)]:
            raise UserError(f"{place}: '{_shown(keys)}' has the tag '{shortened(node.tag)}': write a plain value")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, place, keys)
        if isinstance(node, yaml.SequenceNode):
            items = {str(i): self.node(item, (*keys, str(i)), depth + 1) for i, item in enumerate(node.value)}
            return Node([], place, items)
        result = Node({}, place)
        for key_node, value_node in node.value:
            place = self._place_of(key_node)
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag not in TAGS[yaml.ScalarNode]:
                raise UserError(f"{place}: a key must be a word, such as train")
            name = _characters(str(key_node.value), place, keys)
            path = (*keys, name)
            if problem := misread(key_node, self._source, path):
                raise UserError(f"{place}: '{_shown(path)}': {problem}")
            if name in result.children:
                raise UserError(f"{place}: '{_shown(path)}' is given twice: keep one")
            child = self.node(value_node, path, depth + 1)
            child.origin = place  # a section's place is its key's line, not the line of its first entry
            result.children[name] = child
        return result

    def _scalar(self, node: yaml.ScalarNode, place: str, keys: tuple[str, ...]) -> Node:
        if problem := misread(node, self._source, keys):
            raise UserError(f"{place}: '{_shown(keys)}': {problem}")
        node.value = _characters(str(node.value), place, keys)
        with parsing(f"{place}: '{_shown(keys)}' is no value", "write a plain value, or put it in quotes"):
            value = Loader("").construct_object(node)
        return Node(value, place, text="" if node.style else node.value)


def _characters(text: str, place: str, keys: tuple[str, ...]) -> str:
    """The text with whole characters for surrogate pairs, as JSON writes them. Raises UserError for what is none."""
    fault = "the NUL character" if "\0" in text else ""
    if SURROGATE.search(text):
        try:
            text = text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            fault = "half of a surrogate pair"
    if fault:
        raise UserError(f"{place}: '{_shown(keys)}' holds {fault}: write whole characters")
    return text


def _shown(keys: tuple[str, ...]) -> str:
    return shortened(".".join(keys))
