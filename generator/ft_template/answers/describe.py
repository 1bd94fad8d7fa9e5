"""`ft-template describe`: the questions as one JSON document, from which a program builds a form."""

import itertools
import re
from typing import Any

from .. import PROTOCOL, __version__, hooks
from ..errors import UserError
from ..template import Question, Template
from .complete import resolve

FORMATS = (1,)
DRAFT = "http://json-schema.org/draft-07/schema#"
OLDEST_PYTHON = ".".join(map(str, hooks.post_gen().OLDEST_PYTHON))
FEATURES = ["check", "doctor", "dry-run", "environment", "validate"]

GROUPS = {
    "project": ("Project", ["project_name", "project_slug", "description", "author", "license"]),
    "training": ("Fine-tuning", ["language", "task", "method", "base_model"]),
    "tools": ("Tools", ["accelerator", "environment", "editor", "include_notebook", "include_deploy"]),
}
"""The groups of the form; a question that none of them lists belongs to tools."""


def describe(template: Template, version: int) -> dict[str, Any]:
    """The document in the format version that the caller supports; raises UserError if it is unknown."""
    if version not in FORMATS:
        known = ", ".join(map(str, FORMATS))
        raise UserError(f"ft-template {__version__} does not support format version {version}: use {known}.")
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
    """The schema of one answer, and how a form shows the question."""
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
    shown = {"value": choice, "label": choice, "description": question.descriptions[choice]}
    unsupported = _unsupported_tasks(template).get(choice) if question.name == "method" else None
    if unsupported is None:
        return shown
    supported = [task for task in template.questions["task"].choices if task not in unsupported]
    return {**shown, "visible-if": {"task": supported}}


def _limits(name: str) -> dict[str, Any]:
    """The rules that a pattern can express; `validate` and `new` apply all of them."""
    rules = hooks.pre_gen()
    patterns = {
        "project_name": r"\S",
        "project_slug": _anchored(rules.SLUG.pattern),
        "base_model": _anchored("|".join(f"(?:{form.pattern})" for form in rules.MODEL_FORMS)),
    }
    limits: dict[str, Any] = {"maxLength": rules.MAX_LENGTH}
    return {**limits, "pattern": patterns[name]} if name in patterns else limits


def _anchored(pattern: str) -> str:
    return f"^(?:{pattern})$"


def _derived(template: Template, name: str) -> dict[str, Any]:
    """The questions that a default depends on; for those with choices, the default for each choice."""
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
    """The questions that an expression refers to, directly or through private variables."""
    found: list[str] = []
    for name in re.findall(r"cookiecutter\.(\w+)", expression):
        found += [name] if name in template.questions else _sources(template, str(template.document.get(name, "")))
    return list(dict.fromkeys(found))


def _unsupported_tasks(template: Template) -> dict[str, list[str]]:
    """The tasks that each method does not support."""
    if not {"task", "method"} <= set(template.questions):
        return {}
    pairs = itertools.product(template.questions["method"].choices, template.questions["task"].choices)
    unsupported: dict[str, list[str]] = {}
    for method, task in pairs:
        if hooks.pre_gen().method_error(task, method):
            unsupported.setdefault(method, []).append(task)
    return unsupported


def _conditions(template: Template) -> list[dict[str, Any]]:
    """One condition for each method: the tasks that it excludes."""
    return [
        {
            "if": {"properties": {"method": {"const": method}}, "required": ["method"]},
            "then": {"properties": {"task": {"not": {"enum": tasks}}}},
        }
        for method, tasks in _unsupported_tasks(template).items()
    ]
