"""Ask the open questions in a terminal, with suggestions for this machine."""

from collections.abc import Callable, Mapping
from pathlib import Path

import click

from ..system.machine import Machine, inspect_machine
from ..template import Question, Template
from . import suggest
from .complete import resolve
from .prompts import Prompter, prompter_for_terminal

FindErrors = Callable[[Mapping[str, object]], Mapping[str, str]]
"""Maps answers to the error messages of the invalid ones, by question."""


def ask(template: Template, given: Mapping[str, object], folder: Path, find_errors: FindErrors) -> dict[str, object]:
    """The given answers and those of the user, each validated; raises KeyboardInterrupt if the user cancels."""
    prompter = prompter_for_terminal()
    machine = inspect_machine(folder)
    answers = dict(given)
    prompter.show(f"{len(template.questions) - len(answers)} questions; Enter accepts the default, Ctrl-C cancels.")
    for question in template.questions.values():
        if question.name in answers or isinstance(question.default, dict):
            continue
        try:
            answers[question.name] = _ask_one(prompter, template, question, answers, machine, find_errors)
        except click.Abort as error:
            raise KeyboardInterrupt from error
    return answers


def _ask_one(
    prompter: Prompter,
    template: Template,
    question: Question,
    answers: Mapping[str, object],
    machine: Machine,
    find_errors: FindErrors,
) -> object:
    default = resolve(template, answers)[question.name]

    def validate(answer: object) -> str | None:
        return find_errors({**answers, question.name: answer}).get(question.name)

    if isinstance(default, bool):
        return prompter.select(question, ("yes", "no"), "yes" if default else "no") == "yes"
    if not question.choices:
        return prompter.text(question, str(default), validate)
    choices = tuple(choice for choice in question.choices if validate(choice) is None)
    preselected = str(default)
    if suggestion := _suggestion(template, question.name, answers, machine):
        prompter.show(suggestion.reason)
        preselected = suggestion.choice
    return prompter.select(question, choices, preselected if preselected in choices else choices[0])


def _suggestion(
    template: Template, name: str, answers: Mapping[str, object], machine: Machine
) -> suggest.Suggestion | None:
    if name == "method" and "base_model" in template.questions:
        return suggest.method(machine, str(resolve(template, answers)["base_model"]))
    if name == "accelerator":
        return suggest.accelerator(machine)
    return suggest.environment(machine) if name == "environment" else None
