"""Lists and objects in a cell of a table: JSON, or what Python, pandas and numpy print.

numpy puts no commas between the items of a list: `['a' 'b']` are two items, although Python reads one.
"""

import ast
import json
import re
import warnings
from typing import Any

from ..errors import UserError
from ..parsing import require_depth
from .missing import NAN

STRING = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
LITERAL = re.compile(rf"(\s*)({STRING}|[()\[\]{{}},:]|[^\s()\[\]{{}},:'\"]+)", re.DOTALL)
"""White space, and a string, a bracket, a sign or a word of a literal; and the same of a list with words unquoted."""
BARE = re.compile(rf"(\s*)({STRING}|[\[\],]|[^\s\[\],'\"]+)", re.DOTALL)
OPENING, SIGNS, CLOSING = (*"([{",), (*",:",), (*")]}",)
NUMBER = re.compile(r"([+-]?\d{1,15})(\.\d*)?")
CONSTANTS = ("True", "False", "None")
LONGEST_PRINTED = 2**20
"""Characters of a list that Python or numpy has printed: a second to read; JSON may be longer."""
CUT = "..."
"""What numpy writes in place of the middle of a long list."""


def decoded(value: Any, at: str) -> Any:
    """The value that a string holds as JSON or as it is printed; a blank string is None, other values stay.

    Raises UserError, which begins with `at`.
    """
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return _value(value)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "no such value, or nested too deeply"
        raise UserError(f"{at} is text that is not JSON ({reason}): write it as JSON") from error


def list_in_cell(cell: str, *, bare: bool = False) -> list[Any] | None:
    """The list that a cell holds as JSON or as it is printed; None if it holds none.

    With `bare` its items may also be words without quotes, if it is in square brackets.
    """
    text = cell.strip()
    if text[:1] + text[-1:] not in ("[]", "()", "{}") or len(text) < 2:
        return None
    try:
        value = _value(text, bare and text[0] == "[")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) else None


def _value(text: str, bare: bool = False) -> Any:
    """The value of a text. Raises ValueError, that of JSON, or RecursionError if it has none."""
    try:
        return _as_json(json.loads(text))
    except (ValueError, RecursionError) as error:
        if len(text) > LONGEST_PRINTED:
            raise
        try:
            return _as_json(_printed(text, bare))
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            raise error from None


def _as_json(value: Any) -> Any:
    """The value as JSON has it. Raises ValueError, TypeError or RecursionError for NaN, half a character, a set ..."""
    require_depth(value)
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    text.encode()
    return json.loads(text)


def _printed(text: str, bare: bool) -> Any:
    """The value of a literal of Python, whose items may be apart by white space alone. Raises ValueError and others."""
    tokens, code = BARE if bare else LITERAL, list[str]()
    depth = position = 0
    while match := tokens.match(text, position):
        space, token = match.groups()
        if code and code[-1] not in OPENING + SIGNS and token not in SIGNS + CLOSING:
            if not (space and depth):
                raise ValueError("two values that nothing divides")
            code.append(",")
        code.append(_word(token, bare))
        depth += (token in OPENING) - (token in CLOSING)
        position = match.end()
    if text[position:].strip():
        raise ValueError("a string without an end")
    with warnings.catch_warnings(action="ignore"):  # of escapes that Python does not have
        tree = ast.parse(" ".join(code), mode="eval").body
        return ast.literal_eval(ast.List(tree.elts) if isinstance(tree, ast.Set | ast.Tuple) else tree)


def _word(token: str, bare: bool) -> str:
    """A token as Python writes it. Raises ValueError where it stands for what is missing."""
    if token == CUT or (bare and token in NAN):
        raise ValueError("an item is missing")
    if number := NUMBER.fullmatch(token):
        return repr(float(token) if number[2] else int(token))
    is_text = bare and token not in (*CONSTANTS, *OPENING, *SIGNS, *CLOSING) and token[0] not in "'\""
    return repr(token) if is_text else token
