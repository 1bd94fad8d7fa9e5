"""Read answers from a file and from the options --set."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import INVALID_ANSWERS, UserError
from ..parsing import parse_json, parse_toml, parse_yaml
from ..reading import RefusedError, read_bytes


def read_answers(path: Path) -> dict[str, object]:
    """Read a .json, .yaml, .yml or .toml file of answers.

    If the file has the key `default_context`, as the .ft-template.json of a project and cookiecutter's user config do,
    the answers are below it and all other keys are ignored. Raises UserError.
    """
    try:
        text = read_bytes(path, Path(path.absolute().anchor)).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error.reason}): save it as UTF-8.", INVALID_ANSWERS) from error
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: give the path of a file with answers.") from error
    except RefusedError as error:
        raise UserError(f"{path} cannot be used, as {error}: give the path of a file with answers.") from error
    try:
        document = _parse(text, path.suffix.lower())
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} cannot be parsed ({reason}): correct the file.", INVALID_ANSWERS) from error
    if isinstance(document, dict):
        document = document.get("default_context", document)
    if not isinstance(document, dict) or not all(isinstance(name, str) for name in document):
        raise UserError(f"{path} does not map questions to answers: write one question a line.", INVALID_ANSWERS)
    return document


def _parse(text: str, suffix: str) -> Any:
    """Raises ValueError if the text is invalid or the suffix unknown."""
    if suffix == ".json":
        return parse_json(text)
    if suffix == ".toml":
        return parse_toml(text)
    if suffix not in (".yaml", ".yml"):
        raise ValueError(f"its suffix is {suffix or 'missing'}, not .json, .yaml or .toml")
    return parse_yaml(text)


def parse_settings(settings: Iterable[str]) -> dict[str, object]:
    """The answers in `--set KEY=VALUE` options; the last one of a question wins."""
    pairs = [setting.partition("=") for setting in settings]
    for name, equals, _ in pairs:
        if not equals:
            raise UserError(f"--set {name} has no value: write --set {name or 'question'}=answer.")
    return {name.strip(): value for name, _, value in pairs}
