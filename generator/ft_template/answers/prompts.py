"""Prompts in a terminal: prompt_toolkit where the terminal can move its cursor, plain lines where it cannot."""

import os
import shutil
import sys
import textwrap
from collections.abc import Callable
from typing import Any, Protocol

import click

from ..template import Question

Validate = Callable[[str], str | None]
"""The error message for an answer; None if it is valid."""


class Prompter(Protocol):
    """One way to ask a question; an invalid text is rejected with its error message."""

    def show(self, text: str) -> None: ...

    def select(self, question: Question, choices: tuple[str, ...], default: str) -> str: ...

    def text(self, question: Question, default: str, validate: Validate) -> str: ...


def is_interactive() -> bool:
    """Whether standard input and output are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def prompter_for_terminal() -> Prompter:
    return PlainPrompter() if os.environ.get("TERM", "") in ("", "dumb", "unknown") else ToolkitPrompter()


class ToolkitPrompter:
    """prompt_toolkit: arrow keys, numbers, and the error message below the line while the user types."""

    def show(self, text: str) -> None:
        click.echo("\n" + click.style(_wrap(text), dim=True))

    def select(self, question: Question, choices: tuple[str, ...], default: str) -> str:
        from prompt_toolkit.shortcuts import choice

        labels: list[tuple[str, Any]] = [(name, _wrap(_label(question, name), indent=3)) for name in choices]
        click.echo()
        return choice(_wrap(question.prompt), options=labels, default=default)

    def text(self, question: Question, default: str, validate: Validate) -> str:
        from prompt_toolkit import prompt
        from prompt_toolkit.formatted_text import FormattedText
        from prompt_toolkit.validation import ValidationError, Validator

        class AnswerValidator(Validator):
            def validate(self, document: Any) -> None:
                if message := validate(document.text or default):
                    raise ValidationError(len(document.text), message)

        click.echo(f"\n{_wrap(f' {question.prompt}', 1)}")
        placeholder = FormattedText([("class:placeholder", default)])
        answer = prompt(" > ", placeholder=placeholder, validator=AnswerValidator(), validate_while_typing=True)
        return answer or default


class PlainPrompter:
    """Plain lines, for terminals without cursor movement and for screen readers."""

    def show(self, text: str) -> None:
        click.echo(f"\n{text}")

    def select(self, question: Question, choices: tuple[str, ...], default: str) -> str:
        click.echo(f"\n{question.prompt}")
        for number, name in enumerate(choices, start=1):
            click.echo(f"  {number}  {_label(question, name)}")
        number = click.prompt("Number", type=click.IntRange(1, len(choices)), default=choices.index(default) + 1)
        return choices[int(number) - 1]

    def text(self, question: Question, default: str, validate: Validate) -> str:
        click.echo(f"\n{question.prompt}")
        while True:
            answer = str(click.prompt("Answer", default=default))
            message = validate(answer)
            if message is None:
                return answer
            click.echo(message)


def _label(question: Question, choice: str) -> str:
    description = question.descriptions.get(choice, choice)
    return choice if description == choice else f"{choice}: {description}"


def _wrap(text: str, indent: int = 0) -> str:
    """Wrap to the width of the terminal, less the space of the marker before a choice."""
    width = max(shutil.get_terminal_size().columns - 12, 20)
    return textwrap.fill(text, width, subsequent_indent=" " * indent)
