"""The pipeline file as a JSON Schema (draft-07): editors complete the sections of each stage as in a config."""

import json
from copy import deepcopy

from ..config.json_schema import Schema
from ..config.json_schema import json_schema as config_schema
from .settings import STAGES, Pipeline

SET_BY_PIPELINE = ("run", "stages", "continue_from", "continual")
"""Sections of a config that a stage does not have."""


def json_schema() -> str:
    """The text of schemas/pipeline.schema.json."""
    config = json.loads(config_schema())
    schema = json.loads(json.dumps(Pipeline.model_json_schema()).replace("$defs", "definitions"))
    sections = {key: part for key, part in config["properties"].items() if key not in SET_BY_PIPELINE}
    for stage in STAGES:
        required = ["task", "model"] if stage == "ranking" else ["task", "model", "data"]
        schema["properties"][stage] = {
            "description": schema["properties"][stage]["description"],
            "type": "object",
            "properties": _with_type(sections, stage),
            "required": required,
            "additionalProperties": False,
        }
    text = json.dumps(schema)
    found: dict[str, Schema] = {}
    while added := {
        name: part
        for name, part in config["definitions"].items()
        if name not in found and f'"#/definitions/{name}"' in text
    }:
        found |= added
        text = json.dumps(added)
    schema["definitions"] = {**schema.get("definitions", {}), **found}
    return json.dumps({"$schema": config["$schema"], **schema}, indent=2) + "\n"


def _with_type(sections: dict[str, Schema], stage: str) -> dict[str, Schema]:
    """The sections of a config, whose task can only be that of the stage."""
    own = deepcopy(sections)
    known = own["task"]["properties"]["type"]
    own["task"]["properties"]["type"] = {
        "description": known["description"],
        "enum": [stage],
        "markdownEnumDescriptions": [known["x-intellij-enum-metadata"][stage]["description"]],
        "x-intellij-enum-metadata": {stage: known["x-intellij-enum-metadata"][stage]},
    }
    return own
