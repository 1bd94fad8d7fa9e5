"""The mapping of configs to their JSON Schema, which provides completion and validation."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ...parsing import parse_json, parse_yaml, value_errors
from ..fault import Place, Violation
from ..project.document import Node
from ..project.project import Project
from ..project.yaml_file import line_of
from .rule import rule

MAPPING_FILE = Place(".idea/jsonSchemas.xml")
DRAFT = "http://json-schema.org/draft-07/schema#"
VERSION = "JSON Schema version 7"
KINDS = ("File", "Pattern", "Directory")
MODELINE = re.compile(r"#\s*yaml-language-server:\s*\$schema=(\S+)")


@dataclass(frozen=True)
class Mapping:
    """One `<SchemaInfo>`: a schema and the files that it applies to."""

    node: Node

    def value(self, name: str) -> str:
        return next((option.get("value") for option in self.node.named("option") if option.get("name") == name), "")

    @property
    def items(self) -> list[tuple[Node, dict[str, str]]]:
        return [
            (item, {option.get("name"): option.get("value") for option in item.named("option")})
            for item in self.node.walk("Item")
        ]

    def matches(self, files: list[str]) -> list[str]:
        """The files that PyCharm validates with this schema."""
        return [name for name in files if any(matches(given, name) for _, given in self.items)]


@rule("schema.mapping", "map configs/*.yaml to schemas/config.schema.json")
def a_schema_is_mapped(project: Project) -> Iterator[Violation]:
    if not mappings(project):
        yield MAPPING_FILE, "it maps no schema"


@rule("schema.file", "give the path of a file, relative to the project")
def schemas_exist(project: Project) -> Iterator[Violation]:
    for mapping in mappings(project):
        path = mapping.value("relativePathToSchema")
        if not is_url(path) and not is_file(project, path):
            yield mapping.node.place, f"there is no schema '{path}'"


@rule("schema.version", f'write value="{VERSION}"')
def version_is_known(project: Project) -> Iterator[Violation]:
    """PyCharm reads any other text as draft 4, which lacks if and then."""
    for mapping in mappings(project):
        if mapping.value("schemaVersion").lower() != VERSION.lower():
            yield mapping.node.place, f"schemaVersion is '{mapping.value('schemaVersion')}'"


@rule("schema.kind", 'write <option name="mappingKind" value="Pattern" /> if the path is a pattern')
def kinds_are_right(project: Project) -> Iterator[Violation]:
    """Without mappingKind a pattern is read as the name of a file."""
    for mapping in mappings(project):
        for item, given in mapping.items:
            kind = given.get("mappingKind", "Pattern" if given.get("pattern") == "true" else "File")
            if kind not in KINDS or ("*" in given.get("path", "")) is not (kind == "Pattern"):
                yield item.place, f"'{given.get('path')}' is mapped as {kind}"
            elif "mappingKind" not in given and kind == "Pattern":
                yield item.place, f"'{given.get('path')}' has no mappingKind, which newer versions require"


@rule("schema.matches", "correct the path, or add the files")
def patterns_match(project: Project) -> Iterator[Violation]:
    for mapping in mappings(project):
        for item, given in mapping.items:
            if not any(matches(given, name) for name in project.files):
                yield item.place, f"'{given.get('path')}' matches no file"


@rule("schema.valid", "write it with `python -m finetune schema > schemas/config.schema.json`")
def schemas_are_schemas(project: Project) -> Iterator[Violation]:
    for name in sorted({mapping.value("relativePathToSchema") for mapping in mappings(project)}):
        if error := schema_error(project, name):
            yield Place(name), error


@rule("schema.config", "correct the value; the schema describes each key")
def configs_are_accepted(project: Project) -> Iterator[Violation]:
    for mapping in mappings(project):
        schema = mapping.value("relativePathToSchema")
        schema_text = project.text(project.root / schema) if is_file(project, schema) else None
        if schema_text is None or text_error(schema_text):
            continue
        document = parse_json(schema_text)
        for name in mapping.matches(project.files):
            text = project.text(project.root / name)
            if text is not None:
                yield from config_errors(name, text, document)


def config_errors(name: str, text: str, schema: Any) -> Iterator[Violation]:
    """The worst error in a config."""
    from jsonschema import Draft7Validator
    from jsonschema.exceptions import best_match
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        config = json_value(parse_yaml(text))
    except ValueError as reason:
        yield Place(name), f"it is not YAML ({reason})"
        return
    validator = Draft7Validator(schema, registry=Registry())  # an empty one, so that no schema is fetched
    try:
        with value_errors():
            error = best_match(validator.iter_errors(config))
    except (ValueError, Unresolvable) as reason:
        yield Place(name), f"it cannot be compared with its schema ({reason})"
    else:
        if error:
            keys = ".".join(map(str, error.absolute_path)) or "the config"
            yield Place(name, line_of(text, error.absolute_path)), f"{keys}: {error.message}"


def json_value(value: Any) -> Any:
    """A value of YAML as JSON has it: keys, dates and bytes are texts."""
    if isinstance(value, dict):
        return {str(key): json_value(inside) for key, inside in value.items()}
    if isinstance(value, list):
        return [json_value(inside) for inside in value]
    return value if isinstance(value, str | int | float | None) else str(value)


@rule("schema.modeline", "correct the path, which is relative to the config")
def modelines_name_the_schema(project: Project) -> Iterator[Violation]:
    """The comment that tells other editors the schema."""
    for name in project.files:
        if name.endswith((".yaml", ".yml")):
            folder = (project.root / name).parent
            for number, line in enumerate((project.text(project.root / name) or "").splitlines(), 1):
                given = MODELINE.match(line)
                if given and not is_url(given[1]) and not os.path.isfile(folder / given[1]):
                    yield Place(name, number), f"there is no schema '{given[1]}'"


def mappings(project: Project) -> list[Mapping]:
    document = project.idea_documents.get(MAPPING_FILE.file)
    return [Mapping(node) for node in document.walk("SchemaInfo")] if document else []


def schema_error(project: Project, name: str) -> str:
    """The error in an existing schema; empty if there is none."""
    text = project.text(project.root / name) if is_file(project, name) else None
    return "" if text is None else text_error(text)


@lru_cache(maxsize=4)
def text_error(text: str) -> str:
    from jsonschema import Draft7Validator, SchemaError

    try:
        schema = parse_json(text)
        with value_errors():
            Draft7Validator.check_schema(schema)
    except SchemaError as error:
        return f"it is not a valid draft-07 schema ({error.message})"
    except ValueError as error:
        return f"it is not JSON ({error})"
    given = schema.get("$schema") if isinstance(schema, dict) else None
    return "" if given == DRAFT else f"its $schema is not {DRAFT}"


def is_file(project: Project, name: str) -> bool:
    return bool(name) and not is_url(name) and os.path.isfile(project.root / name)


def is_url(path: str) -> bool:
    return path.startswith(("http://", "https://"))


def matches(item: dict[str, str], name: str) -> bool:
    """Match as PyCharm does: a pattern with a slash against the end of the path, others against the file name."""
    path = item.get("path", "")
    kind = item.get("mappingKind", "Pattern" if item.get("pattern") == "true" else "File")
    if kind == "Pattern":
        end = name if "/" in path else name.rpartition("/")[2]
        return glob_matches(path, end) or glob_matches(f"**/{path}", end)
    return name == path if kind == "File" else name.startswith(f"{path.rstrip('/')}/")


def glob_matches(glob: str, name: str) -> bool:
    """Whether a pattern with ?, * and ** matches a path, in time of the product of their lengths at most.

    A regular expression would try each way to share the path among the stars.
    """
    tokens = re.findall(r"\*\*|.", glob, re.DOTALL)
    places = _after_stars({0}, tokens)
    for character in name:
        following = set()
        for place in places - {len(tokens)}:
            if tokens[place] == "**" or (tokens[place] == "*" and character != "/"):
                following.add(place)
            elif tokens[place] in ("?", character):
                following.add(place + 1)
        places = _after_stars(following, tokens)
    return len(tokens) in places


def _after_stars(places: set[int], tokens: list[str]) -> set[int]:
    """The places in a pattern, and those that are reached if its stars stand for nothing more."""
    found = set(places)
    for place in places:
        while place < len(tokens) and tokens[place] in ("*", "**"):
            place += 1
            found.add(place)
    return found
