"""User errors and the exit codes of the command."""

from collections.abc import Mapping

OK, CHECK_FAILED, USAGE, INVALID_ANSWERS, TARGET_EXISTS, FAILED, NO_ENVIRONMENT = range(7)
INTERRUPTED = 130
ERROR_CODES = {
    USAGE: "usage",
    INVALID_ANSWERS: "answers",
    TARGET_EXISTS: "target-exists",
    FAILED: "failed",
    NO_ENVIRONMENT: "environment",
    INTERRUPTED: "interrupted",
}
"""By exit code, the `code` of an `error` event of `new --json`."""


class UserError(Exception):
    """An error that the user can fix: one sentence with the place and the remedy.

    `code` is the exit code; `field` is the question whose answer is invalid, if the error is about one.
    """

    def __init__(self, message: str, code: int = USAGE, field: str | None = None) -> None:
        super().__init__(message)
        self.code, self.field = code, field

    @property
    def messages(self) -> Mapping[str | None, str]:
        """All error messages, by question; the key is None for an error that is not about an answer."""
        return {self.field: str(self)}


class InvalidAnswers(UserError):
    """All invalid answers at once, so that a form can show every error; `errors` maps questions to messages."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        field, message = next(iter(errors.items()))
        super().__init__(message, INVALID_ANSWERS, field)
        self.errors = dict(errors)

    @property
    def messages(self) -> Mapping[str | None, str]:
        return dict[str | None, str](self.errors.items())
