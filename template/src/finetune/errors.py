"""The one exception that is meant for the user."""


class UserError(Exception):
    """The user's input is wrong. The message is one sentence: what, where (file:line, key) and how to mend it.

    The command line prints it without a traceback and exits with code 2.
    """
