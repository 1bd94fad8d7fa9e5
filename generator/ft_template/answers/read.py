"""Answers as the user gives them: in a file, and by --set on the command line."""

import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import WRONG_ANSWERS, UserError


def read_answers(path: Path) -> dict[str, object]:
    """The answers in a file: .json, .yaml, .yml or .toml.

    Where they stand under `default_context`, as in the record of a project (.ft-template.json) and in the settings of
    cookiecutter, what stands beside is passed over.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error.reason}): save it as UTF-8.", WRONG_ANSWERS) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): name a file with answers.") from error
    try:
        document = _parse(text, path.suffix.lower())
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} cannot be understood ({reason}): mend it.", WRONG_ANSWERS) from error
    if isinstance(document, dict):
        document = document.get("default_context", document)
    if not isinstance(document, dict) or not all(isinstance(name, str) for name in document):
        raise UserError(f"{path} does not map questions to answers: write one question a line.", WRONG_ANSWERS)
    return document


def _parse(text: str, ending: str) -> Any:
    if ending == ".json":
        return json.loads(text)
    if ending == ".toml":
        return tomllib.loads(text)
    if ending not in (".yaml", ".yml"):
        raise ValueError(f"its name ends in {ending or 'nothing'} instead of .json, .yaml or .toml")
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def parse_settings(settings: Iterable[str]) -> dict[str, object]:
    """What --set says; the last one counts."""
    pairs = [setting.partition("=") for setting in settings]
    for name, equals, _ in pairs:
        if not equals:
            raise UserError(f"--set {name} names no value: write --set {name or 'question'}=answer.")
    return {name.strip(): value for name, _, value in pairs}
