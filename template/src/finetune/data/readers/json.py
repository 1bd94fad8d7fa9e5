""".jsonl files, with one object a line, and .json files, with a list of objects."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import UserError
from ..columns import Columns
from ..records import Record
from .text import read_text

SPACE = re.compile(r"[ \t\r\n]*")
SEPARATOR = re.compile(r"[ \t\r\n,]*")


def read_jsonl(path: Path, columns: Columns) -> Iterator[Record]:
    """The object of each line that is not blank."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            place = f"{path}:{number}"
            yield Record(place, _parse_line(line, place))


def read_json(path: Path, columns: Columns) -> Iterator[Record]:
    """The objects of a list, decoded one by one so that each knows its line."""
    text, decoder = read_text(path), json.JSONDecoder()
    position = _skip(SPACE, text, 0)
    if text[position : position + 1] != "[":
        raise UserError(f"{path}:1: a .json file holds a list of objects: start it with [ or name it .jsonl")
    position = _skip(SPACE, text, position + 1)
    line, counted = 1, 0  # the line of the character at `counted`
    while text[position : position + 1] != "]":
        line, counted = line + text.count("\n", counted, position), position
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}:{error.lineno}: this is not JSON ({error.msg}): correct the line") from error
        yield Record(f"{path}:{line}", value)
        position = _skip(SEPARATOR, text, position)


def _parse_line(line: str, place: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{place}: this is not JSON ({error.msg} at column {error.colno}): correct the line") from error


def _skip(pattern: re.Pattern[str], text: str, position: int) -> int:
    """The position after the characters of `pattern`, which also matches none."""
    match = pattern.match(text, position)
    return match.end() if match else position
