"""The exception for wrong input, and the exit codes of the command line."""

OK, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130


class UserError(Exception):
    """The user's input is wrong. The message is one sentence: what, where (file:line, key) and the remedy.

    The command line prints it without a traceback and exits with code 2.
    """

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows in place of a traceback."""
        return [f"error: {self}"]


class RankError(UserError):
    """A user error that only one of the ranks has, which reports it itself."""
