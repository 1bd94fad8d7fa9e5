"""Validate answers and fill in defaults."""

import difflib
from collections.abc import Mapping

from .. import hooks
from ..errors import FAILED, InvalidAnswers, UserError
from ..template import Question, Template

BOOLEANS = {"true": True, "yes": True, "false": False, "no": False}


def complete(template: Template, given: Mapping[str, object]) -> dict[str, object]:
    """All answers, with defaults for those not given; raises InvalidAnswers with every error."""
    answers = _with_booleans(template, given)
    errors = _form_errors(template, answers)
    if not errors:
        resolved = resolve(template, answers)
        # The rules are those of the bundled template; another template has its own, in its hooks.
        errors = hooks.pre_gen().answer_errors(resolved) if template.bundled else {}
        if not errors:
            return resolved
    raise InvalidAnswers(errors)


def answer_errors(template: Template, given: Mapping[str, object]) -> dict[str, str]:
    """Error messages of the invalid answers, by question."""
    try:
        complete(template, given)
    except InvalidAnswers as error:
        return error.errors
    return {}


def resolve(template: Template, given: Mapping[str, object]) -> dict[str, object]:
    """All answers, with defaults for those not given, which may depend on other answers.

    Cookiecutter evaluates Jinja in what it gets: check first that the given answers hold none.
    """
    from cookiecutter.generate import generate_context
    from cookiecutter.prompt import prompt_for_config

    try:
        context = generate_context(str(template.folder / "cookiecutter.json"), extra_context=dict(given))
        answers = prompt_for_config(context, no_input=True)
    except Exception as error:  # an expression in a template may raise anything
        reason = str(error).partition("\n")[0].partition(" Context:")[0].rstrip(".")
        message = f"The defaults of the template {template.name} cannot be evaluated ({reason}): fix the template."
        raise UserError(message, FAILED) from error
    return {name: answers[name] for name in template.questions}


def _with_booleans(template: Template, given: Mapping[str, object]) -> dict[str, object]:
    """Convert the texts true, yes, false and no where a question is boolean, as --set gives texts only."""
    return {
        name: BOOLEANS.get(value.lower(), value)
        if isinstance(value, str) and name in template.questions and isinstance(template.questions[name].default, bool)
        else value
        for name, value in given.items()
    }


def _form_errors(template: Template, answers: Mapping[str, object]) -> dict[str, str]:
    """Errors of single answers: unknown questions, wrong types, unknown choices, forbidden characters."""
    errors: dict[str, str] = {}
    for name, value in answers.items():
        question = template.questions.get(name)
        message = _unknown_error(name, template) if question is None else _type_error(question, value)
        if message:
            errors[name] = message
    well_typed = {name: answers[name] for name in answers if name not in errors}
    text_errors: dict[str, str] = hooks.pre_gen().text_errors(well_typed)
    return text_errors | errors


def _unknown_error(name: str, template: Template) -> str:
    near = difflib.get_close_matches(name, template.questions, n=1)
    remedy = f"did you mean {near[0]}?" if near else f"the questions are {', '.join(template.questions)}."
    return f"{name!r} is not a question of this template: {remedy}"


def _type_error(question: Question, value: object) -> str | None:
    name, default = question.name, question.default
    if question.choices:
        if value in question.choices:
            return None
        return f"{name} {value!r} is not one of the choices: use {', '.join(question.choices)}."
    if isinstance(default, bool):
        return None if isinstance(value, bool) else f"{name} is {value!r}: use true or false."
    if isinstance(default, dict):
        return None if isinstance(value, dict) else f"{name} is {value!r}: use a mapping."
    return None if isinstance(value, str) else f"{name} is {value!r}, which is not a text: put it in quotes."
