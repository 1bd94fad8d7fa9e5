"""The schema behind the completion of configs: what an editor says of them is what the package says."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from finetune.config.load import load_config
from finetune.errors import UserError
from ft_template.create.bake import REPOSITORY
from jsonschema import Draft7Validator

SCHEMA = json.loads((REPOSITORY / "template/schemas/config.schema.json").read_text(encoding="utf-8"))
SECTIONS = ("task", "method", "continual")
MINIMAL = "task: {type: regression}\nmodel: {name: tiny:bert}\ndata: {train: a.jsonl}\n"
MISTAKES = {
    "task: {type: regresion}": ("task.type", "is not one of"),
    "method: {type: lora, rank: 4}": ("method", "'rank' was unexpected"),
    "method: {type: head, r: 4}": ("method", "'r' was unexpected"),
    "method: {r: 4}": ("method", "'type' is a required property"),
    "method: {type: lora, r: none}": ("method.r", "is not of type 'integer'"),
    "continual: {type: replay, budjet: 1}": ("continual", "'budjet' was unexpected"),
    "train: {epoch: 1}": ("train", "'epoch' was unexpected"),
    "optim: {lr: -1}": ("optim.lr", "less than"),
    "tasks: {}": ("", "'tasks' was unexpected"),
}


def config(text: str) -> Any:
    return {**yaml.safe_load(MINIMAL), **yaml.safe_load(text)}


def types(section: str) -> list[str]:
    found: list[str] = SCHEMA["properties"][section]["properties"]["type"]["enum"]
    return found


def keys(schema: Any) -> Iterator[tuple[str, Any]]:
    """Every key that a config can hold, with its schema."""
    for part in (schema, *schema["definitions"].values()):
        yield from part.get("properties", {}).items()


def test_it_is_a_schema_of_draft_07() -> None:
    Draft7Validator.check_schema(SCHEMA)


def test_every_key_is_explained() -> None:
    plain = {"model", "data", "train", "optim", "run"}  # sections of one form are explained where they are defined
    assert [key for key, part in keys(SCHEMA) if "description" not in part and key not in plain] == []
    assert all(part.get("description") for part in SCHEMA["definitions"].values())


@pytest.mark.parametrize("section", SECTIONS)
def test_every_type_is_offered_with_what_it_is_for(section: str) -> None:
    choice = SCHEMA["properties"][section]["properties"]["type"]

    assert list(choice["x-intellij-enum-metadata"]) == choice["enum"]
    assert all(about["description"] for about in choice["x-intellij-enum-metadata"].values())
    assert len(choice["markdownEnumDescriptions"]) == len(choice["enum"])


@pytest.mark.parametrize(("section", "name"), [(section, name) for section in SECTIONS for name in types(section)])
def test_the_keys_of_a_type_are_those_of_its_definition(section: str, name: str) -> None:
    (branch,) = [
        branch
        for branch in SCHEMA["properties"][section]["allOf"]
        if branch["if"]["properties"]["type"]["const"] == name
    ]
    definition = SCHEMA["definitions"][branch["then"]["$ref"].removeprefix("#/definitions/")]

    assert definition["properties"]["type"]["const"] == name
    assert definition["additionalProperties"] is False


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_underlined_where_it_is_and_once(text: str, tmp_path: Path) -> None:
    place, message = MISTAKES[text]
    (error,) = Draft7Validator(SCHEMA).iter_errors(config(text))

    assert (".".join(map(str, error.absolute_path)), message in error.message) == (place, True), error.message
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config(text)), encoding="utf-8")
    with pytest.raises(UserError):
        load_config(tmp_path / "config.yaml")


def test_a_right_config_has_no_mistake() -> None:
    Draft7Validator(SCHEMA).validate(config("method: {type: lora, r: 4, targets: [query]}\ntrain: {epochs: 1}"))
