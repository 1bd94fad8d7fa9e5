"""Parse JSON, TOML and YAML that somebody else wrote. Whatever the text, the only error is ValueError."""

import json
import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml

MOST_VALUES = 100_000
"""Values of a YAML document in which each alias is replaced by what it stands for."""


@contextmanager
def value_errors() -> Iterator[None]:
    """Turn what a parser or validator may raise for a text into a ValueError, which says it in a few words."""
    try:
        yield
    except ValueError:
        raise
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, re.error) as error:  # PyYAML, for `!!bool x`
        raise ValueError(f"{type(error).__name__}: {error}") from error


def parse_json(text: str) -> Any:
    with value_errors():
        return json.loads(text)


def parse_toml(text: str) -> dict[str, Any]:
    with value_errors():
        return tomllib.loads(text)


class Loader(yaml.SafeLoader):
    """PyYAML implements YAML 1.1, where 2e-5 is a text; PyCharm, VS Code and the package read a number."""


Loader.yaml_implicit_resolvers = {key: list(pairs) for key, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()}
Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+[eE][-+]?\d+$"), list("-+0123456789"))


def parse_yaml(text: str) -> Any:
    """The value of a document; None if it is empty. The message of the ValueError has the line if it is known."""
    with value_errors():
        try:
            loader = Loader(text)
            node = loader.get_single_node()
            if node is None:
                return None
            _count(node, {})
            return loader.construct_document(node)
        except yaml.MarkedYAMLError as error:
            line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
            raise ValueError(f"{line}{error.problem}") from error
        except yaml.YAMLError as error:
            raise ValueError(str(error)) from error


def compose_yaml(text: str) -> yaml.Node | None:
    """The nodes of a document, which know their lines, of a text that `parse_yaml` accepts."""
    return yaml.compose(text, Loader)


def _count(node: yaml.Node, counts: dict[int, int]) -> int:
    """The values in a node, aliases replaced; `counts` has those of the nodes that were counted before."""
    if id(node) not in counts:
        counts[id(node)] = MOST_VALUES + 1  # for an alias of itself
        children = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = [part for child in children for part in (child if isinstance(child, tuple) else (child,))]
        counts[id(node)] = 1 + sum(_count(part, counts) for part in parts)
    if counts[id(node)] > MOST_VALUES:
        raise ValueError(f"with its aliases it has more than {MOST_VALUES:,} values")
    return counts[id(node)]
