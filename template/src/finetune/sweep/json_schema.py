"""The sweep file as a JSON Schema (draft-07): editors complete the keys that can vary, and their values."""

import json
import re
from collections.abc import Iterator

from ..config.json_schema import Schema
from ..config.json_schema import json_schema as config_schema
from .settings import FIXED, Sweep

PREFIX = "#/definitions/"
RANGE = {"$ref": f"{PREFIX}Range"}
NUMBERS = ({"type": "number"}, {"type": "integer"})


def json_schema() -> str:
    """The text of schemas/sweep.schema.json."""
    config = json.loads(config_schema())
    schema = json.loads(json.dumps(Sweep.model_json_schema()).replace("$defs", "definitions"))
    # A key of several types, such as method.r, is explained by the first.
    keys: dict[str, Schema] = {}
    for name, part in config["properties"].items():
        for key, found in _keys(name, part, config["definitions"]):
            if key not in FIXED:
                keys.setdefault(key, found)
    schema["properties"]["vary"] |= {
        "properties": {key: _values(part) for key, part in keys.items()},
        "patternProperties": {
            rf"^{re.escape(key)}\..": {"type": "array", "minItems": 1}
            for key, part in keys.items()
            if '"additionalProperties": {' in json.dumps(part)
        },
        "additionalProperties": False,
    }
    text = json.dumps(schema)
    schema["definitions"] |= {name: part for name, part in config["definitions"].items() if f'"{PREFIX}{name}"' in text}
    return json.dumps({"$schema": config["$schema"], **schema}, indent=2) + "\n"


def _keys(key: str, part: Schema, definitions: dict[str, Schema]) -> Iterator[tuple[str, Schema]]:
    """The keys of a section of the config with their schemas; the section itself where it has several types."""
    branches = [branch["then"] for branch in part.get("allOf", [])]
    sections = [found["$ref"] for found in (part, *branches) if "$ref" in found]
    if not sections or branches:
        yield key, part
    for name, field in part.get("properties", {}).items():
        yield f"{key}.{name}", field
    for section in sections:
        for name, field in definitions[section.removeprefix(PREFIX)]["properties"].items():
            yield from _keys(f"{key}.{name}", field, definitions)


def _values(part: Schema) -> Schema:
    """The schema of what a key can be given: a list of its values, or for numbers a range.

    With `if`, an editor underlines what is wrong in either; with `anyOf` only that nothing matches.
    """
    described = {"description": part["description"]} if "description" in part else {}
    values = {"type": "array", "items": part, "minItems": 1}
    kinds = [{name: kind[name] for name in kind if name == "type"} for kind in (part, *part.get("anyOf", []))]
    if not any(kind in NUMBERS for kind in kinds):
        return {**described, **values}
    return {**described, "if": {"type": "array"}, "then": values, "else": RANGE}
