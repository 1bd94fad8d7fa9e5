"""The line of a value in YAML."""

from collections.abc import Iterable

import yaml

from ...parsing import compose_yaml


def line_of(text: str, keys: Iterable[str | int]) -> int:
    """The line of the value at this path of keys, or of its nearest section that exists."""
    node = compose_yaml(text)
    line = 1
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            inside = {name.value: (name, value) for name, value in node.value if isinstance(name, yaml.ScalarNode)}
        elif isinstance(node, yaml.SequenceNode):
            inside = {str(number): (value, value) for number, value in enumerate(node.value)}
        else:
            break
        if str(key) not in inside:
            break
        name, node = inside[str(key)]
        line = name.start_mark.line + 1
    return line
