"""Ask people: arrow keys or numbers where the terminal can move its cursor, numbers and lines where it cannot."""

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import click

from ..system.machine import Machine, look
from ..template import Question, Template
from . import suggest
from .complete import resolve

Faults = Callable[[Mapping[str, object]], Mapping[str, str]]
"""What is wrong with answers, by question."""


def has_terminal() -> bool:
    """Whether somebody is there to be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()


class Asker(Protocol):
    """One way to put a question; `complaint` says what is wrong with an answer, if anything."""

    def say(self, text: str) -> None: ...

    def choose(self, question: Question, choices: tuple[str, ...], default: str) -> str: ...

    def type(self, question: Question, default: str, complaint: Callable[[str], str | None]) -> str: ...


def ask(template: Template, given: Mapping[str, object], folder: Path, faults: Faults) -> dict[str, object]:
    """The given answers and those of the user; nothing that would be refused later is taken."""
    asker: Asker = Lines() if os.environ.get("TERM", "") in ("", "dumb", "unknown") else Screen()
    machine = look(folder)
    answers = dict(given)
    asker.say(f"{len(template.questions) - len(answers)} questions; Enter takes what is proposed, Ctrl-C ends.")
    for question in template.questions.values():
        if question.name in answers or isinstance(question.default, dict):
            continue
        try:
            answers[question.name] = _answer(asker, template, question, answers, machine, faults)
        except click.Abort as error:
            raise KeyboardInterrupt from error
    return answers


def _answer(
    asker: Asker,
    template: Template,
    question: Question,
    answers: Mapping[str, object],
    machine: Machine,
    faults: Faults,
) -> object:
    """One answer."""
    default = resolve(template, answers)[question.name]

    def complaint(answer: object) -> str | None:
        return faults({**answers, question.name: answer}).get(question.name)

    if isinstance(default, bool):
        return asker.choose(question, ("yes", "no"), "yes" if default else "no") == "yes"
    if not question.choices:
        return asker.type(question, str(default), complaint)
    choices = tuple(choice for choice in question.choices if complaint(choice) is None)
    proposed = str(default)
    if suggestion := _suggestion(template, question.name, answers, machine):
        asker.say(suggestion.reason)
        proposed = suggestion.choice
    return asker.choose(question, choices, proposed if proposed in choices else choices[0])


def _suggestion(
    template: Template, name: str, answers: Mapping[str, object], machine: Machine
) -> suggest.Suggestion | None:
    if name == "method" and "base_model" in template.questions:
        return suggest.method(machine, str(resolve(template, answers)["base_model"]))
    if name == "accelerator":
        return suggest.accelerator(machine)
    return suggest.environment(machine) if name == "environment" else None


class Screen:
    """prompt_toolkit: arrow keys, numbers, and the fault below the line while one types."""

    def say(self, text: str) -> None:
        click.echo("\n" + click.style(_wrapped(text), dim=True))

    def choose(self, question: Question, choices: tuple[str, ...], default: str) -> str:
        from prompt_toolkit.shortcuts import choice

        labels: list[tuple[str, Any]] = [(name, _wrapped(_explained(question, name), indent=3)) for name in choices]
        click.echo()
        return choice(_wrapped(question.prompt), options=labels, default=default)

    def type(self, question: Question, default: str, complaint: Callable[[str], str | None]) -> str:
        from prompt_toolkit import prompt
        from prompt_toolkit.formatted_text import FormattedText
        from prompt_toolkit.validation import ValidationError, Validator

        class Rules(Validator):
            def validate(self, document: Any) -> None:
                if sentence := complaint(document.text or default):
                    raise ValidationError(len(document.text), sentence)

        click.echo(f"\n{_wrapped(f' {question.prompt}', 1)}")
        shown = FormattedText([("class:placeholder", default)])
        return prompt(" > ", placeholder=shown, validator=Rules(), validate_while_typing=True) or default


class Lines:
    """Plain lines, for terminals that can do no more, and for screen readers."""

    def say(self, text: str) -> None:
        click.echo(f"\n{text}")

    def choose(self, question: Question, choices: tuple[str, ...], default: str) -> str:
        click.echo(f"\n{question.prompt}")
        for number, name in enumerate(choices, start=1):
            click.echo(f"  {number}  {_explained(question, name)}")
        number = click.prompt("Number", type=click.IntRange(1, len(choices)), default=choices.index(default) + 1)
        return choices[int(number) - 1]

    def type(self, question: Question, default: str, complaint: Callable[[str], str | None]) -> str:
        click.echo(f"\n{question.prompt}")
        while True:
            answer = str(click.prompt("Answer", default=default))
            sentence = complaint(answer)
            if sentence is None:
                return answer
            click.echo(sentence)


def _explained(question: Question, choice: str) -> str:
    meaning = question.explained.get(choice, choice)
    return choice if meaning == choice else f"{choice}: {meaning}"


def _wrapped(text: str, indent: int = 0) -> str:
    """In lines that fit the terminal, with room for what stands before a choice."""
    width = max(shutil.get_terminal_size().columns - 12, 20)
    return textwrap.fill(text, width, subsequent_indent=" " * indent)
