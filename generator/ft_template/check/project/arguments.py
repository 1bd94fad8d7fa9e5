"""PyCharm's way to split a command line, which is neither a shell's nor that of Python's shlex."""

import unicodedata

TRIMMED = "".join(map(chr, range(ord(" ") + 1)))
"""What Java's String.trim takes away at both ends: the blank and all control characters before it."""

SEPARATING_CONTROLS = frozenset("\t\n\v\f\r\x1c\x1d\x1e\x1f")
NO_BREAK_SPACES = frozenset("\u00a0\u2007\u202f")


def split(parameters: str, single_quotes: bool = False) -> list[str]:
    """The arguments that PyCharm makes of a field: JetBrains' ParametersListUtil.parse.

    A double quote groups and disappears; a backslash is special only before a quote that it protects, so that Windows
    paths survive; there is nothing else: no variables, no globs. Single quotes group only in the arguments of tests.
    """
    quotes = "\"'" if single_quotes else '"'
    text = parameters.strip(TRIMMED)
    arguments: list[str] = []
    argument: str | None = None  # an argument may be empty, but only where quotes began it
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
    """Java's Character.isWhitespace: Python's isspace would also part words at a no-break space."""
    if character in SEPARATING_CONTROLS:
        return True
    return unicodedata.category(character) in ("Zs", "Zl", "Zp") and character not in NO_BREAK_SPACES
