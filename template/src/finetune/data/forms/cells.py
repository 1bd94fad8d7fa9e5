"""Lists and objects in a cell of a table: JSON, or what pandas writes."""

import ast
import json
from typing import Any

from ...errors import UserError


def decoded(value: Any, at: str) -> Any:
    """The value of a string that holds JSON or a literal of Python; a blank string is None, other values stay.

    Raises UserError, which begins with `at`.
    """
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return _as_json(json.loads(value))
    except (ValueError, RecursionError) as error:
        try:
            return _as_json(ast.literal_eval(value.strip()))
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            reason = error.msg if isinstance(error, json.JSONDecodeError) else "no such value, or nested too deeply"
            raise UserError(f"{at} is text that is not JSON ({reason}): write it as JSON") from error


def _as_json(value: Any) -> Any:
    """The value as JSON has it. Raises ValueError or TypeError for NaN, half a character, a set ..."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    text.encode()
    return json.loads(text)
