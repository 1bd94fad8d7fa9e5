"""Prompts in a terminal: prompt_toolkit where the terminal can move its cursor, plain lines where it cannot."""

import os
import shutil
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import click

from ..template import Question

Validate = Callable[[str], str | None]
"""The error message for an answer; None if it is valid."""

BACK = "<"
"""Typed instead of an answer, it goes back to the question before."""


class Prompter(Protocol):
    """One way to ask a question; the answer is None if the user goes back, and an invalid text is not accepted."""

    def show(self, text: str) -> None: ...

    def select(self, question: Question, choices: tuple[str, ...], default: str) -> str | None: ...

    def text(self, question: Question, default: str, validate: Validate) -> str | None: ...


def is_interactive() -> bool:
    """Whether standard input and output are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def prompter_for_terminal() -> Prompter:
    return PlainPrompter() if os.environ.get("TERM", "") in ("", "dumb", "unknown") else ToolkitPrompter()


class ToolkitPrompter:
    """prompt_toolkit: arrow keys, numbers, and the error message below the line while the user types."""

    def show(self, text: str) -> None:
        click.echo("\n" + click.style(_wrap(text), dim=True))

    def select(self, question: Question, choices: tuple[str, ...], default: str) -> str | None:
        from prompt_toolkit.key_binding import KeyBindings
        from prompt_toolkit.shortcuts import choice

        keys = KeyBindings()
        keys.add(BACK)(lambda event: event.app.exit(result=None))
        labels: list[tuple[str | None, Any]] = [
            (name, _wrap(_label(question, name), margin=12, indent=6)) for name in choices
        ]
        click.echo()
        return choice(_wrap(question.prompt, margin=2), options=labels, default=default, key_bindings=keys)

    def text(self, question: Question, default: str, validate: Validate) -> str | None:
        from prompt_toolkit import prompt
        from prompt_toolkit.application import get_app
        from prompt_toolkit.filters import Condition
        from prompt_toolkit.formatted_text import FormattedText
        from prompt_toolkit.key_binding import KeyBindings
        from prompt_toolkit.styles import Style

        error_of = cache(validate)  # it is needed at each redraw

        def error() -> str | None:
            typed = get_app().current_buffer.text
            return None if typed == BACK else error_of(typed or default)

        def below_the_line() -> FormattedText:
            # prompt_toolkit's own line for the errors of a validator would be cut at the width of the terminal.
            message = error()
            return FormattedText([("class:validation-toolbar", _wrap(message))] if message else [])

        keys = KeyBindings()
        keys.add("enter", filter=Condition(lambda: error() is not None))(lambda event: None)
        click.echo(f"\n{_wrap(f' {question.prompt}', indent=1)}")
        answer = prompt(
            " > ",
            placeholder=FormattedText([("class:placeholder", default)]),
            bottom_toolbar=below_the_line,
            key_bindings=keys,
            style=Style.from_dict({"bottom-toolbar": "noreverse"}),
        )
        return None if answer == BACK else answer or default


class PlainPrompter:
    """Plain lines, for terminals without cursor movement and for screen readers."""

    def show(self, text: str) -> None:
        click.echo(f"\n{_wrap(text)}")

    def select(self, question: Question, choices: tuple[str, ...], default: str) -> str | None:
        self.show(question.prompt)
        for number, name in enumerate(choices, start=1):
            click.echo(f"  {number}  {_wrap(_label(question, name), margin=6, indent=5)}")
        while True:
            typed = str(click.prompt("Number", default=str(choices.index(default) + 1)))
            if typed == BACK:
                return None
            if typed in map(str, range(1, len(choices) + 1)):
                return choices[int(typed) - 1]
            click.echo(f"{typed} is not in the range from 1 to {len(choices)}.")

    def text(self, question: Question, default: str, validate: Validate) -> str | None:
        self.show(question.prompt)
        while True:
            answer = str(click.prompt("Answer", default=default))
            if answer == BACK:
                return None
            message = validate(answer)
            if message is None:
                return answer
            click.echo(_wrap(message))


def _label(question: Question, choice: str) -> str:
    description = question.descriptions.get(choice, choice)
    return choice if description == choice else f"{choice}: {description}"


def _wrap(text: str, margin: int = 1, indent: int = 0) -> str:
    """Wrap to the width of the terminal less a margin, by columns: a Chinese character takes two."""
    from rich.console import Console
    from rich.text import Text

    width = max(shutil.get_terminal_size().columns - margin, 20)
    lines = Text(text).wrap(Console(width=width), width)
    return ("\n" + " " * indent).join(line.plain.rstrip() for line in lines)
