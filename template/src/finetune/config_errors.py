"""What is wrong with a config, as one sentence with its place and its remedy."""

import json
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from .config_yaml import Node


def sentence(model: type[BaseModel], root: Node, error: ValidationError) -> str:
    """The first problem as a sentence; the number of further ones at its end."""
    problems = error.errors()
    first: dict[str, Any] = dict(problems[0])
    path = root.known_path(first["loc"])
    key = ".".join(path) or "the config"
    match first["type"]:
        case "extra_forbidden":
            text = f"unknown key '{key}'{_suggestion(model, path)}"
        case "missing":
            text = f"'{key}' is missing"
        case "union_tag_invalid" | "union_tag_not_found":
            key = f"{key}.type"
            expected = str(first["ctx"].get("expected_tags", "")) or "a type"
            tag = first["ctx"].get("tag")
            text = f"'{key}' is {f'{tag!r}, which is none of' if tag else 'missing: choose one of'} {expected}"
        case "value_error":
            text = str(first["ctx"]["error"])
            # What two sections say together belongs to neither; the sentence begins with the key to look at.
            path = path or root.known_path(tuple(text.split()[0].split(".")))
        case _:
            text = f"'{key}' is {_shown(first['input'])}: {first['msg'][0].lower()}{first['msg'][1:]}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{root.place(path)}: {text}{more}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _suggestion(model: type[BaseModel], path: tuple[str, ...]) -> str:
    known = _fields_of(model, path[:-1])
    close = get_close_matches(path[-1], known, n=1)
    return f": did you mean '{close[0]}'?" if close else f": known keys here are {', '.join(known)}"


def _fields_of(model: type[BaseModel], path: tuple[str, ...]) -> list[str]:
    """Names that are allowed in the section `path`; of all its variants where it is a union."""
    models: list[Any] = [model]
    for name in (name for name in path if not name.isdecimal()):
        annotations = [model.model_fields[name].annotation for model in models if name in model.model_fields]
        models = [variant for a in annotations for variant in (getattr(a, "__args__", None) or (a,))]
        models = [model for model in models if isinstance(model, type) and issubclass(model, BaseModel)]
    return list(dict.fromkeys(field for model in models for field in model.model_fields))
