"""The questions as one JSON document, for a program that shows them as a form."""

import itertools
import re
from typing import Any

from .. import PROTOCOL, __version__, hooks
from ..errors import UserError
from ..template import Question, Template
from .complete import resolve

FORMATS = (1,)
DRAFT = "http://json-schema.org/draft-07/schema#"
OLDEST_PYTHON = ".".join(map(str, hooks.after().OLDEST_PYTHON))
FEATURES = ["check", "doctor", "dry-run", "environment", "validate"]

GROUPS = {
    "project": ("Project", ["project_name", "project_slug", "description", "author", "license"]),
    "training": ("Fine-tuning", ["task", "method", "base_model"]),
    "tools": ("Tools", ["accelerator", "environment", "editor"]),
}
"""A question that is named nowhere here is one of tools."""


def describe(template: Template, version: int) -> dict[str, Any]:
    """The document, in the format that the caller knows."""
    if version not in FORMATS:
        known = ", ".join(map(str, FORMATS))
        raise UserError(f"Format version {version} is not known to ft-template {__version__}: use {known}.")
    defaults = resolve(template, {})
    properties = {
        question.name: _property(template, question, order, defaults[question.name])
        for order, question in enumerate(template.questions.values(), start=1)
    }
    return {
        "protocol": PROTOCOL,
        "version": __version__,
        "template": {"name": template.name, "version": template.version},
        "min_python": OLDEST_PYTHON,
        "features": FEATURES,
        "groups": [{"id": name, "title": title} for name, (title, _) in GROUPS.items()],
        "schema": {
            "$schema": DRAFT,
            "title": "Answers",
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
            "allOf": _conditions(template),
        },
    }


def _property(template: Template, question: Question, order: int, default: object) -> dict[str, Any]:
    """One question: what it takes, and how a form shows it."""
    name = question.name
    shown = {
        "title": name.replace("_", " ").capitalize(),
        "description": question.prompt,
        "default": default,
        "x-order": order,
        "x-group": next((group for group, (_, names) in GROUPS.items() if name in names), "tools"),
    }
    if isinstance(default, bool):
        return {"type": "boolean", **shown}
    if question.choices:
        choices = [_choice(template, question, choice) for choice in question.choices]
        return {"type": "string", "enum": list(question.choices), **shown, "x-choices": choices}
    return {"type": "string", **_limits(name), **shown, **_derived(template, name)}


def _choice(template: Template, question: Question, choice: str) -> dict[str, Any]:
    shown = {"value": choice, "label": choice, "description": question.explained[choice]}
    refused = _refused(template).get(choice) if question.name == "method" else None
    if refused is None:
        return shown
    return {
        **shown,
        "visible-if": {"task": [task for task in template.questions["task"].choices if task not in refused]},
    }


def _limits(name: str) -> dict[str, Any]:
    """What the rules say of a text, as far as a pattern can; `validate` and `new` say all of it."""
    rules = hooks.rules()
    patterns = {
        "project_name": r"\S",
        "project_slug": _whole(rules.SLUG.pattern),
        "base_model": _whole(
            "|".join(f"(?:{shape.pattern})" for shape in (rules.HUB_NAME, rules.TINY_MODEL, rules.LOCAL_FOLDER))
        ),
    }
    limits: dict[str, Any] = {"maxLength": rules.LONGEST_ANSWER}
    return {**limits, "pattern": patterns[name]} if name in patterns else limits


def _whole(pattern: str) -> str:
    return f"^(?:{pattern})$"


def _derived(template: Template, name: str) -> dict[str, Any]:
    """From which answers a default follows; for a question with choices, the default by each of them."""
    sources = _sources(template, str(template.questions[name].default))
    if not sources:
        return {}
    by_choice = {
        source: {choice: resolve(template, {source: choice})[name] for choice in template.questions[source].choices}
        for source in sources
        if template.questions[source].choices
    }
    return {"x-default-from": sources, **({"x-default-by": by_choice} if by_choice else {})}


def _sources(template: Template, expression: str) -> list[str]:
    """The questions that an expression refers to, through private variables too."""
    found: list[str] = []
    for name in re.findall(r"cookiecutter\.(\w+)", expression):
        found += [name] if name in template.questions else _sources(template, str(template.document.get(name, "")))
    return list(dict.fromkeys(found))


def _refused(template: Template) -> dict[str, list[str]]:
    """By method, the tasks with which it does not go."""
    if not {"task", "method"} <= set(template.questions):
        return {}
    pairs = itertools.product(template.questions["method"].choices, template.questions["task"].choices)
    refused: dict[str, list[str]] = {}
    for method, task in pairs:
        if hooks.rules().method_problem(task, method):
            refused.setdefault(method, []).append(task)
    return refused


def _conditions(template: Template) -> list[dict[str, Any]]:
    return [
        {
            "if": {"properties": {"method": {"const": method}}, "required": ["method"]},
            "then": {"properties": {"task": {"not": {"enum": tasks}}}},
        }
        for method, tasks in _refused(template).items()
    ]
