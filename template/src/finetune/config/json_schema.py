"""The config as a JSON Schema (draft-07), in the form that editors complete and check best.

A section with a `type` becomes a list of types and, for each, the keys that go with it (`if`, `then`). Editors then
offer every type with its description, explain and underline the keys of the one that is chosen, and say of a wrong key
just that; with pydantic's `oneOf` they only report that no variant matches.
"""

import json
from collections.abc import Collection
from typing import Any

from .config import Config
from .load import deleted_keys

Schema = dict[str, Any]


def json_schema() -> str:
    """The text of schemas/config.schema.json."""
    schema = _without(Config.model_json_schema(), deleted_keys())
    if "stages" in schema["properties"]:
        schema["required"].remove("data")
        schema["anyOf"] = [{"required": ["data"]}, {"required": ["stages"]}]
    # Draft-07 keeps shared parts under `definitions`; pydantic writes the newer `$defs`.
    text = json.dumps(schema).replace('"$defs"', '"definitions"').replace("#/$defs/", "#/definitions/")
    schema = json.loads(text)
    schema["properties"] = {key: _by_type(part, schema["definitions"]) for key, part in schema["properties"].items()}
    return json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", **schema}, indent=2) + "\n"


def _without(schema: Schema, keys: Collection[str]) -> Schema:
    """The schema without some of its keys, and without the definitions to which only these refer."""
    left: Schema = json.loads(json.dumps(schema))
    for key in keys:
        *sections, name = key.split(".")
        part = left
        for inner in sections:
            part = left["$defs"][part["properties"][inner]["$ref"].rsplit("/", 1)[1]]
        del part["properties"][name]
    text = json.dumps(left)
    left["$defs"] = {name: part for name, part in left["$defs"].items() if f'"#/$defs/{name}"' in text}
    return left


def _by_type(section: Schema, definitions: Schema) -> Schema:
    """The section with its variants told apart by their `type`; a section of one form as it is."""
    if "discriminator" not in section:
        return section
    variants: dict[str, str] = section["discriminator"]["mapping"]
    about: Schema = {key: section[key] for key in ("title", "description", "default") if key in section}
    descriptions = {
        name: {"description": _description(definitions[reference.rsplit("/", 1)[1]])}
        for name, reference in variants.items()
    }
    return {
        **about,
        "type": "object",
        "properties": {
            "type": {
                "description": section["description"],
                "enum": list(variants),
                "x-intellij-enum-metadata": descriptions,
                "markdownEnumDescriptions": [text["description"] for text in descriptions.values()],
            }
        },
        "required": ["type"],
        "allOf": [
            {"if": {"properties": {"type": {"const": name}}, "required": ["type"]}, "then": {"$ref": reference}}
            for name, reference in variants.items()
        ],
    }


def _description(variant: Schema) -> str:
    """The description of its `type`; without one, as an added task may have it, the description of the section."""
    return str(variant["properties"]["type"].get("description") or variant.get("description", ""))
