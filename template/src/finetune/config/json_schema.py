"""The config as a JSON Schema (draft-07), in the form in which editors complete and check it best.

A section with a `type` becomes a list of types and, for each, the keys that go with it (`if`, `then`). Editors then
offer every type with its description, explain and underline the keys of the one that is chosen, and say of a wrong key
just that; of pydantic's `oneOf` they say that none of its variants fits.
"""

import json
from typing import Any

from .config import Config

Schema = dict[str, Any]


def json_schema() -> str:
    """The text of schemas/config.schema.json."""
    schema = Config.model_json_schema()
    schema["required"].remove("data")
    schema["anyOf"] = [{"required": ["data"]}, {"required": ["stages"]}]
    # Draft-07 keeps shared parts under `definitions`; pydantic writes the newer `$defs`.
    text = json.dumps(schema).replace('"$defs"', '"definitions"').replace("#/$defs/", "#/definitions/")
    schema = json.loads(text)
    schema["properties"] = {key: _by_type(part, schema["definitions"]) for key, part in schema["properties"].items()}
    return json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", **schema}, indent=2) + "\n"


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
    """What its `type` means; where that is not said, as in a task that somebody has added, what the whole is."""
    return str(variant["properties"]["type"].get("description") or variant.get("description", ""))
