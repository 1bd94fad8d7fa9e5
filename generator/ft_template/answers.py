"""Answers: read from a file and from the command line, held to the rules, and completed by defaults."""

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from . import hooks
from .errors import FAILED, WRONG_ANSWERS, UserError, WrongAnswers
from .template import Question, Template

FLAGS = {"true": True, "yes": True, "false": False, "no": False}


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


def complete(template: Template, given: Mapping[str, object]) -> dict[str, object]:
    """All answers; raises WrongAnswers with all that is wrong."""
    answers = _typed(template, given)
    found = _form_faults(template, answers)
    if not found:
        resolved = resolve(template, answers)
        # Another template has rules of its own, which its hooks apply.
        found = hooks.rules().faults(resolved) if template.bundled else {}
        if not found:
            return resolved
    raise WrongAnswers(found)


def faults(template: Template, given: Mapping[str, object]) -> dict[str, str]:
    """What is wrong with the answers, by question."""
    try:
        complete(template, given)
    except WrongAnswers as error:
        return error.faults
    return {}


def resolve(template: Template, given: Mapping[str, object]) -> dict[str, object]:
    """The given answers, and defaults for the others, which may follow from them.

    Cookiecutter evaluates what it gets: the given answers must have been found to hold no expression.
    """
    from cookiecutter.generate import generate_context
    from cookiecutter.prompt import prompt_for_config

    try:
        context = generate_context(str(template.folder / "cookiecutter.json"), extra_context=dict(given))
        answers = prompt_for_config(context, no_input=True)
    except Exception as error:  # an expression of a template may raise anything
        reason = str(error).partition("\n")[0].partition(" Context:")[0].rstrip(".")
        sentence = f"The defaults of the template {template.name} cannot be worked out ({reason}): mend the template."
        raise UserError(sentence, FAILED) from error
    return {name: answers[name] for name in template.questions}


def _typed(template: Template, given: Mapping[str, object]) -> dict[str, object]:
    """A flag on the command line is a word."""
    return {
        name: FLAGS.get(value.lower(), value)
        if isinstance(value, str) and name in template.questions and isinstance(template.questions[name].default, bool)
        else value
        for name, value in given.items()
    }


def _form_faults(template: Template, answers: Mapping[str, object]) -> dict[str, str]:
    """What can be said of an answer alone: whether it is asked for, and of the right kind."""
    found: dict[str, str] = {}
    for name, value in answers.items():
        question = template.questions.get(name)
        sentence = _unknown(name, template) if question is None else _kind_fault(question, value)
        if sentence:
            found[name] = sentence
    asked: dict[str, str] = hooks.rules().text_faults({name: answers[name] for name in answers if name not in found})
    return asked | found


def _unknown(name: str, template: Template) -> str:
    near = difflib.get_close_matches(name, template.questions, n=1)
    remedy = f"perhaps {near[0]} is meant." if near else f"there are {', '.join(template.questions)}."
    return f"{name!r} is no question of this template: {remedy}"


def _kind_fault(question: Question, value: object) -> str | None:
    name, default = question.name, question.default
    if question.choices:
        if value in question.choices:
            return None
        return f"{name} {value!r} is none of the choices: use {', '.join(question.choices)}."
    if isinstance(default, bool):
        return None if isinstance(value, bool) else f"{name} is {value!r}: use true or false."
    if isinstance(default, dict):
        return None if isinstance(value, dict) else f"{name} is {value!r}: use a mapping."
    return None if isinstance(value, str) else f"{name} is {value!r}, which is no text: put it in quotes."
