"""The mapping of configs to their JSON Schema, which provides completion and validation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from ..fault import Place, Violation
from ..project.document import Node
from ..project.project import Project
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
    from jsonschema import Draft7Validator
    from jsonschema.exceptions import best_match

    from ..project.yaml_file import line_of, load

    for mapping in mappings(project):
        schema = mapping.value("relativePathToSchema")
        if not is_file(project, schema) or schema_error(project, schema):
            continue
        validator = Draft7Validator(json.loads((project.root / schema).read_text(encoding="utf-8")))
        for name in mapping.matches(project.files):
            path = project.root / name
            try:
                error = best_match(validator.iter_errors(load(path)))
            except ValueError as unreadable:
                yield Place(name), f"it is not YAML ({unreadable})"
            else:
                if error:
                    keys = ".".join(map(str, error.absolute_path)) or "the config"
                    yield Place(name, line_of(path, error.absolute_path)), f"{keys}: {error.message}"


@rule("schema.modeline", "correct the path, which is relative to the config")
def modelines_name_the_schema(project: Project) -> Iterator[Violation]:
    """The comment that tells other editors the schema."""
    for name in project.files:
        if name.endswith((".yaml", ".yml")):
            path = project.root / name
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            for number, line in enumerate(lines, 1):
                given = MODELINE.match(line)
                if given and not is_url(given[1]) and not (path.parent / given[1]).is_file():
                    yield Place(name, number), f"there is no schema '{given[1]}'"


def mappings(project: Project) -> list[Mapping]:
    document = project.idea_documents.get(MAPPING_FILE.file)
    return [Mapping(node) for node in document.walk("SchemaInfo")] if document else []


def schema_error(project: Project, name: str) -> str:
    """The error in an existing schema; empty if there is none."""
    return text_error((project.root / name).read_text(encoding="utf-8")) if is_file(project, name) else ""


@lru_cache(maxsize=4)
def text_error(text: str) -> str:
    from jsonschema import Draft7Validator, SchemaError

    try:
        schema = json.loads(text)
        Draft7Validator.check_schema(schema)
    except SchemaError as error:
        return f"it is not a valid draft-07 schema ({error.message})"
    except ValueError as error:
        return f"it is not JSON ({error})"
    given = schema.get("$schema") if isinstance(schema, dict) else None
    return "" if given == DRAFT else f"its $schema is not {DRAFT}"


def is_file(project: Project, name: str) -> bool:
    return bool(name) and not is_url(name) and (project.root / name).is_file()


def is_url(path: str) -> bool:
    return path.startswith(("http://", "https://"))


def matches(item: dict[str, str], name: str) -> bool:
    """Match as PyCharm does: a pattern with a slash against the end of the path, others against the file name."""
    path = item.get("path", "")
    kind = item.get("mappingKind", "Pattern" if item.get("pattern") == "true" else "File")
    if kind == "Pattern":
        glob = re.escape(path).replace(r"\*\*", ".*").replace(r"\*", "[^/]*").replace(r"\?", ".")
        return bool(re.fullmatch(f"(.*/)?{glob}", name if "/" in path else name.rpartition("/")[2]))
    return name == path if kind == "File" else name.startswith(f"{path.rstrip('/')}/")
