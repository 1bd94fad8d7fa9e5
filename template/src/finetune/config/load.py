"""Read a config from YAML or from a run; errors are one sentence with place and remedy."""

import json
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, to_jsonable_python

from .. import optional
from ..errors import UserError
from ..files import is_plain
from ..parsing import SHOWN, shortened
from .config import Config
from .yaml_lines import Node, parse_override, read_yaml
from .yaml_words import without_blank

NO_SECTION = ("model_type", "model_attributes_type", "dict_type")
"""Problems of pydantic with a value in place of a section."""


def load_config(path: Path, overrides: list[str] | None = None) -> Config:
    """Read a YAML config and apply `key.sub=value` overrides.

    Remote code that the config of a run (.json) allows is not allowed: a run is data, only the command can allow it.
    Raises UserError with file:line and key for a syntax error, an unknown or repeated key, and a bad value.
    """
    return config_with(path, map(parse_override, overrides or []))


def config_with(path: Path, changes: Iterable[tuple[tuple[str, ...], Node]]) -> Config:
    """Read a config as `load_config` does, with other values at some keys; an error in one names the place of it."""
    root = read_yaml(path)
    if path.suffix == ".json" and (model := root.children.get("model")):
        model.children["trust_remote_code"] = Node(False, model.origin)
    for keys, value in changes:
        root.set(keys, value)
    _require_folders(root)
    config = _validated(root)
    run = config.run.model_copy(update={"name": config.run.name or path.stem})
    if not is_plain(str(run.name)):
        raise UserError(f"{path}: its name is no name for the folder of a run: set run.name")
    return config.model_copy(update={"run": run})


def _require_folders(root: Node) -> None:
    """Raise UserError for a key of a deleted folder. Its default may stand there: a run records all keys."""
    for key, folder in deleted_keys().items():
        section: Any = Config
        node = root
        *sections, name = path = tuple(key.split("."))
        for inner in sections:
            section = section.model_fields[inner].annotation
            node = node.children.get(inner, Node({}, ""))
        if name in node.children:
            default = section.model_fields[name].get_default(call_default_factory=True)
            if node.children[name].plain() not in (None, to_jsonable_python(default)):
                raise UserError(
                    f"{root.place(path)}: '{key}' needs src/finetune/{folder}, which this project has deleted: "
                    f"put the folder back or remove the key"
                )


def deleted_keys() -> dict[str, str]:
    """The keys of optional folders that the project has deleted, each with its folder."""
    return {key: name for name, part in optional.PARTS.items() if not optional.is_there(name) for key in part.keys}


def read_config(path: Path) -> Config:
    """The resolved config that a run has written, `config.json`."""
    try:
        return Config.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): name the folder of a run") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = shortened(".".join(map(str, first["loc"])) or "the whole")
        raise UserError(f"{path}: {key}: {first['msg']}: the run was made by another version of finetune") from error
    except ValueError as error:
        raise UserError(f"{path}: is no text in UTF-8 ({error}): put back an intact copy of the run") from error


def _validated(root: Node) -> Config:
    # A section whose keys are all commented out reads as null, and a run writes null where a key has no value: the
    # defaults are meant.
    given = {key: value for key, value in root.plain().items() if value is not None or not _has_default(key)}
    sections = {key: {} if value is None else value for key, value in given.items()}
    try:
        return Config.model_validate(sections)
    except ValidationError as error:
        texts = {root.known_path(each["loc"]) for each in error.errors() if each["type"] == "string_type"}
        if sum(root.take_text(path) for path in texts):
            return _validated(root)
        raise UserError(sentence(Config, root, error)) from error


def _has_default(key: str) -> bool:
    field = Config.model_fields.get(key)
    return field is not None and not field.is_required()


def sentence(model: type[BaseModel], root: Node, error: ValidationError) -> str:
    """The first problem as a sentence; the number of further ones at its end."""
    problems = error.errors()
    if found := _without_blank(model, root, problems):
        return found
    first: dict[str, Any] = dict(problems[0])
    path = root.known_path(first["loc"], is_missing=first["type"] == "missing")
    key = ".".join(path) or "the config"
    match first["type"]:
        case "extra_forbidden":
            text = f"unknown key '{key}'{_suggestion(model, path)}"
        case "missing":
            text = f"'{key}' is missing"
        case "union_tag_invalid" | "union_tag_not_found":
            key = f"{key}.type"
            types = [get_args(variant.model_fields["type"].annotation)[0] for variant in _models_at(model, path)]
            expected = ", ".join(map(repr, types))
            tag = first["ctx"].get("tag")
            text = f"'{key}' is {f'{tag!r}, which is none of' if tag else 'missing: choose one of'} {expected}"
        case "value_error":
            text = str(first["ctx"]["error"])
            # The sentence begins with the key to look at: what two keys say together belongs to neither.
            path = root.known_path((*first["loc"], *text.split()[0].split(".")))
        case kind if kind in NO_SECTION and (known := _fields_of(model, path)):
            text = f"'{key}' is {_shown(first['input'])}, but has keys of its own: write {key}.{known[0]} and others"
        case _:
            text = f"'{key}' is {_shown(first['input'])}: {first['msg'][0].lower()}{first['msg'][1:]}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{root.place(path)}: {shortened(text, 2 * SHOWN)}{more}"


def _without_blank(model: type[BaseModel], root: Node, problems: Sequence[ErrorDetails]) -> str:
    """The sentence on a key that no blank divides from its value, wherever it is; empty if there is none.

    YAML reads both as a key without a value in braces, and else as a text in place of a section.
    """
    for path in root.keys_without_value():
        if remedy := without_blank(path[-1]):
            return f"{root.place(path)}: '{'.'.join(path)}': {remedy}"
    for problem in problems:
        path, text = root.known_path(problem["loc"]), problem["input"]
        is_key = isinstance(text, str) and text.partition(":")[0] in _fields_of(model, path)
        if problem["type"] in NO_SECTION and is_key and (remedy := without_blank(text)):
            return f"{root.place(path)}: '{'.'.join(path)}' is {_shown(text)}: {remedy}"
    return ""


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _suggestion(model: type[BaseModel], path: tuple[str, ...]) -> str:
    known = _fields_of(model, path[:-1])
    close = get_close_matches(path[-1], known, n=1)
    return f": did you mean '{close[0]}'?" if close else f": known keys here are {', '.join(known)}"


def _fields_of(model: type[BaseModel], path: tuple[str, ...]) -> list[str]:
    """Names that are allowed in the section `path`; of all its variants where it is a union."""
    return list(dict.fromkeys(field for model in _models_at(model, path) for field in model.model_fields))


def _models_at(model: type[BaseModel], path: tuple[str, ...]) -> list[Any]:
    """The model of the section `path`; all its variants where it is a union."""
    models: list[Any] = [model]
    for name in (name for name in path if not name.isdecimal()):
        annotations = [model.model_fields[name].annotation for model in models if name in model.model_fields]
        models = [variant for a in annotations for variant in (getattr(a, "__args__", None) or (a,))]
        models = [model for model in models if isinstance(model, type) and issubclass(model, BaseModel)]
    return models
