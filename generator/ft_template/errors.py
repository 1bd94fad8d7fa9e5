"""Mistakes of the user, and the exit codes of the command."""

from collections.abc import Mapping

OK, USAGE, WRONG_ANSWERS, TARGET_EXISTS, FAILED, NO_ENVIRONMENT = 0, 2, 3, 4, 5, 6
FAULTS = 1
"""`check` and `doctor` end with it: what they look at is there, and not as it should be."""

INTERRUPTED = 130
NAMES = {
    USAGE: "usage",
    WRONG_ANSWERS: "answers",
    TARGET_EXISTS: "target-exists",
    FAILED: "failed",
    NO_ENVIRONMENT: "environment",
    INTERRUPTED: "interrupted",
}
"""What a program reads instead of the number, in the events of `new --json`."""


class UserError(Exception):
    """What the user can mend: one sentence with the place and the remedy.

    `code` is the exit code; `field` names the answer that is wrong, where it is one.
    """

    def __init__(self, message: str, code: int = USAGE, field: str | None = None) -> None:
        super().__init__(message)
        self.code, self.field = code, field

    @property
    def sentences(self) -> Mapping[str | None, str]:
        """All that is wrong, by the answer that it is about."""
        return {self.field: str(self)}


class WrongAnswers(UserError):
    """Answers that are refused, each with its sentence, so that a form can show all of them at once."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        field, sentence = next(iter(faults.items()))
        super().__init__(sentence, WRONG_ANSWERS, field)
        self.faults = dict(faults)

    @property
    def sentences(self) -> Mapping[str | None, str]:
        return dict[str | None, str](self.faults.items())
