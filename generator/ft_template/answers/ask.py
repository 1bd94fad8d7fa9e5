"""Ask the open questions in a terminal, with suggestions for this machine."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import click

from ..system.machine import inspect_machine
from ..template import Question, Template
from . import suggest
from .complete import resolve
from .prompts import BACK, prompter_for_terminal

FindErrors = Callable[[Mapping[str, object]], Mapping[str, str]]
"""Maps answers to the error messages of the invalid ones, by question."""
Place = Callable[[Mapping[str, object]], Path]
"""Maps answers to the folder of the project."""


def ask(
    template: Template,
    given: Mapping[str, object],
    proposed: Mapping[str, object],
    place: Place,
    find_errors: FindErrors,
) -> dict[str, object]:
    """The given answers and those of the user, each validated; raises KeyboardInterrupt if the user cancels.

    `proposed` are answers that replace the template's defaults.
    """
    try:
        return Wizard(template, given, proposed, place, find_errors).run()
    except click.Abort as error:
        raise KeyboardInterrupt from error


class Wizard:
    """One question after the other, back to an earlier one on demand, and a summary to confirm."""

    def __init__(
        self,
        template: Template,
        given: Mapping[str, object],
        proposed: Mapping[str, object],
        place: Place,
        find_errors: FindErrors,
    ) -> None:
        self.template, self.place, self.find_errors = template, place, find_errors
        self.answers = dict(given)
        self.proposed = dict(proposed)
        self.earlier: dict[str, object] = {}
        """Answers of the user that are not the default: on the way back and forth they are offered again."""
        self.prompter = prompter_for_terminal()
        self.machine = inspect_machine(place(given))

    def run(self) -> dict[str, object]:
        """Ask until the summary is confirmed."""
        questions = [
            question
            for question in self.template.questions.values()
            if question.name not in self.answers and not isinstance(question.default, dict)
        ]
        if not questions:
            return self.answers
        steps: list[Callable[[], bool]] = [*(partial(self._ask, question) for question in questions), self._confirm]
        self.prompter.show(
            f"{len(questions)} questions; Enter accepts the default, {BACK} goes back to the question before, "
            "Ctrl-C cancels."
        )
        number = 0
        while number < len(steps):
            number = number + 1 if steps[number]() else max(number - 1, 0)
        return self.answers

    def _ask(self, question: Question) -> bool:
        """Whether the question was answered; if not, the user goes back."""
        name = question.name
        self.answers.pop(name, None)
        default = self._default(name)
        answer = self._answer(question, default)
        if answer is None:
            return False
        self.answers[name] = answer
        self.earlier.pop(name, None)
        if answer != default:
            self.earlier[name] = answer
        return True

    def _default(self, name: str) -> object:
        return resolve(self.template, self.proposed | self.answers)[name]

    def _answer(self, question: Question, default: object) -> object:
        """The answer of the user; None to go back."""
        offered = self.earlier.get(question.name, default)
        if isinstance(default, bool):
            answer = self.prompter.select(question, ("yes", "no"), "yes" if offered else "no")
            return None if answer is None else answer == "yes"

        def validate(answer: object) -> str | None:
            return self.find_errors({**self.answers, question.name: answer}).get(question.name)

        if not question.choices:
            return self.prompter.text(question, str(offered), validate)
        choices = tuple(choice for choice in question.choices if validate(choice) is None)
        if suggestion := self._suggestion(question.name):
            self.prompter.show(suggestion.reason)
            offered = self.earlier.get(question.name, suggestion.choice)
        return self.prompter.select(question, choices, str(offered) if offered in choices else choices[0])

    def _suggestion(self, name: str) -> suggest.Suggestion | None:
        if name == "method" and "base_model" in self.template.questions:
            return suggest.method(self.machine, str(self._default("base_model")))
        if name == "accelerator":
            return suggest.accelerator(self.machine)
        return suggest.environment(self.machine) if name == "environment" else None

    def _confirm(self) -> bool:
        """Show all answers; whether the user wants to go on with them."""
        answers = resolve(self.template, self.answers)
        width = max(map(len, answers))
        self.prompter.show("\n".join(f"{name:{width}}  {answer}" for name, answer in answers.items()))
        prompt = f"Create the project in {self.place(answers)}?"
        choices = ("yes", "back")
        question = Question("confirm", "yes", prompt, choices, {"back": "change the last answer, or those before"})
        return self.prompter.select(question, choices, "yes") == "yes"
