"""Mistakes of the user, and the exit codes of the command."""

OK, USAGE, WRONG_ANSWERS, TARGET_EXISTS, FAILED, NO_ENVIRONMENT = 0, 2, 3, 4, 5, 6
FAULTS = 1
"""`check` alone ends with it: the project is there, and not as it should be."""

INTERRUPTED = 130


class UserError(Exception):
    """What the user can mend: one sentence with the place and the remedy.

    `code` is the exit code; `field` names the answer that is wrong, where it is one.
    """

    def __init__(self, message: str, code: int = USAGE, field: str | None = None) -> None:
        super().__init__(message)
        self.code, self.field = code, field
