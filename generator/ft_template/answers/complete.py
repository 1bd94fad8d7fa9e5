"""Answers held to the rules, and completed by defaults."""

import difflib
from collections.abc import Mapping

from .. import hooks
from ..errors import FAILED, UserError, WrongAnswers
from ..template import Question, Template

FLAGS = {"true": True, "yes": True, "false": False, "no": False}


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
