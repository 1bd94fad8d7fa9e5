"""How PyCharm splits a command line, which differs from a shell and from Python's shlex."""

import unicodedata

TRIMMED = "".join(map(chr, range(ord(" ") + 1)))
"""The characters that Java's String.trim removes: the space and all control characters below it."""

SEPARATING_CONTROLS = frozenset("\t\n\v\f\r\x1c\x1d\x1e\x1f")
NO_BREAK_SPACES = frozenset("\u00a0\u2007\u202f")


def split(parameters: str, single_quotes: bool = False) -> list[str]:
    """Split as JetBrains' ParametersListUtil.parse does.

    Double quotes group. A backslash escapes a quote and is literal elsewhere, so that Windows paths work. There are no
    variables and no globs. Single quotes group only in the arguments of tests.
    """
    quotes = "\"'" if single_quotes else '"'
    text = parameters.strip(TRIMMED)
    arguments: list[str] = []
    argument: str | None = None  # an argument may be empty only if it is quoted
    quote = ""
    position = 0
    while position < len(text):
        character, following = text[position], text[position + 1 : position + 2]
        position += 1
        if character == "\\" and following and following in (quote or quotes):
            argument = (argument or "") + following
            position += 1
        elif character == quote:
            quote = ""
        elif not quote and character in quotes:
            quote, argument = character, argument or ""
        elif not quote and is_whitespace(character):
            if argument is not None:
                arguments.append(argument)
            argument = None
        else:
            argument = (argument or "") + character
    return arguments if argument is None else [*arguments, argument]


def is_whitespace(character: str) -> bool:
    """Java's Character.isWhitespace; unlike Python's isspace it excludes no-break spaces."""
    if character in SEPARATING_CONTROLS:
        return True
    return unicodedata.category(character) in ("Zs", "Zl", "Zp") and character not in NO_BREAK_SPACES
