""".jsonl files, with one object a line, and .json files, with a list of objects.

Both are read as streams, in a time that grows with their size. A file of one kind with the ending of the other is
recognised by its beginning. No part of a file is passed over.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, TextIO

from ...console import notice
from ...errors import UserError
from ...parsing import DEEPEST, LONGEST, require_depth
from ..columns import Columns
from ..opening import lines_of, open_text, suffix_of
from ..records import Record

TOO_DEEP, FEW_COLUMNS = "the JSON is nested too deeply", "write an object of a few columns"
Kind = Literal["lines", "list", "within"]
LIST_START = re.compile(r"\s*\[\s*\{")
CHUNK = 2**18
SPACE = re.compile(r"[ \t\r\n]*")
LITERAL = 16
"""Characters at the end of what has been read in which a number or an escape may be cut."""
MOST_DIGITS = 308
"""Digits of the largest numbers that floats can hold."""
ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
LIST_DEPTH = 20
"""Objects within objects in which lists are looked for."""


def read_jsonl(path: Path, columns: Columns) -> Iterator[Record]:
    """The object of each line that is not blank; of a list where the file is one."""
    kind = kind_of(path, columns)
    if kind == "list":
        notice(f"{path}: read as a list, which is usually named .json")
    return READ[kind](path, columns)


def read_json(path: Path, columns: Columns) -> Iterator[Record]:
    """The objects of a list, which may be a part of an object; of each line where the file is JSON Lines."""
    kind = kind_of(path, columns)
    if kind == "lines":
        notice(f"{path}: read as JSON Lines, which are usually named .jsonl")
    return READ[kind](path, columns)


def kind_of(path: Path, columns: Columns) -> Kind:
    """What a file is by its beginning. Raises UserError for a .json file that is none of these."""
    with open_text(path, columns.file) as text:
        if suffix_of(path) != ".json":
            return "list" if LIST_START.match(text.read(100)) else "lines"
        start = _Json(path, text).peek()
    if start in ("[", ""):
        return "list"
    if start == "{":
        return "lines" if _has_object_lines(path, columns) else "within"
    raise UserError(f"{path}:1: a .json file holds a list of objects: start it with [ or name it .jsonl")


def parse_json(text: str, place: str) -> Any:
    """A value of strict JSON. Raises UserError for anything else.

    That is also for what JSON writers and readers treat differently, so that something would be lost: NaN, numbers
    beyond those of floats, two members of one name, halves of surrogate pairs, which are no characters.
    """
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{place}: this is not JSON ({error.msg} at column {error.colno}): correct the line") from error
    except (_Refused, RecursionError) as error:
        raise _refusal(place, error) from error
    _check(value, text, place)
    return value


def _lines(path: Path, columns: Columns) -> Iterator[Record]:
    for number, line in enumerate(lines_of(path, columns.file), start=1):
        if line.strip():
            yield _record(f"{path}:{number}", line)


def _record(place: str, line: str) -> Record:
    try:
        return Record(place, parse_json(line, place))
    except UserError as error:
        return Record(place, None, error=error)


def _has_object_lines(path: Path, columns: Columns) -> bool:
    """Whether the first line is an object by itself, and not the only one."""
    with open_text(path, columns.file) as text:
        first = next((line for line in iter(partial(text.readline, CHUNK), "") if line.strip()), "")
        more = text.read(CHUNK)
    try:
        return more.lstrip().startswith("{") and isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def _list(path: Path, columns: Columns) -> Iterator[Record]:
    with open_text(path, columns.file) as text:
        source = _Json(path, text)
        if source.peek():
            yield from source.elements()
            source.require_end()


def _list_within(path: Path, columns: Columns) -> Iterator[Record]:
    """The elements of a list in an object."""
    wanted, found = list_within(path, columns), dict[str, bool]()
    with open_text(path, columns.file) as text:
        source = _Json(path, text)
        yield from source.members(wanted, found)
        source.require_end()
    if wanted not in found:
        raise UserError(f"{path}:1: no list '{wanted}' (found: {', '.join(found)}): correct data.path")


def list_within(path: Path, columns: Columns) -> str:
    """The keys to the list of examples in an object: data.path, or those to the only list.

    Raises UserError if there is none, or several.
    """
    wanted, found = columns.file.path, dict[str, bool]()
    if wanted is None:
        with open_text(path, columns.file) as text:
            source = _Json(path, text)
            for _ in source.members(None, found):
                pass
            source.require_end()
        lists = [name for name, has_objects in found.items() if has_objects]
        if not lists:
            raise UserError(
                f"{path}:1: a .json file holds a list of objects, but this is an object without one: write a list "
                f"(pandas: orient='records')"
            )
        if len(lists) > 1:
            raise UserError(
                f"{path}:1: there are several lists of examples ({', '.join(lists)}): choose one, such as "
                f"data.path: {lists[0]}"
            )
        wanted = lists[0]
        notice(f"{path}: the examples are the list '{wanted}': set data.path: {wanted} to say so in the config")
    return wanted


class _Json:
    """A JSON text that is decoded value by value; what has been decoded is forgotten."""

    def __init__(self, path: Path, text: TextIO) -> None:
        self._path, self._text = path, text
        self._buffer, self._position, self._line = "", 0, 1
        self._example, self._is_object = "", False

    def peek(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            match = SPACE.match(self._buffer, self._position)
            self._move(match.end() if match else self._position)
            if self._position < len(self._buffer):
                return self._buffer[self._position]
            if not self._read_more():
                return ""

    def elements(self) -> Iterator[Record]:
        """The elements of the list that begins here."""
        for number, _ in enumerate(self._items("[", "]"), start=1):
            self._example = f" (example {number})"
            yield self._element(self._place)
        self._example = ""

    def _element(self, place: str) -> Record:
        self._is_object = self.peek() == "{"
        try:
            return Record(place, self._value())
        except _RefusedValue as error:
            self._value(strict=False)  # reading goes on behind it
            return Record(place, None, error=error)

    def members(self, wanted: str | None, found: dict[str, bool], within: str = "", depth: int = 1) -> Iterator[Record]:
        """The elements of the list `wanted` in the object that begins here; keys are joined by dots.

        `found` gets the names of all lists, and whether they begin with an object. Raises the errors of other lists.
        """
        names: set[str] = set()
        for _ in self._items("{", "}"):
            key = self._key()
            if key in names:
                raise _refusal(self._place, _double(key))
            names.add(key)
            name, start = f"{within}{key}", self.peek()
            if start == "[":
                found[name] = False
                for number, record in enumerate(self.elements()):
                    found[name] = found[name] or (not number and self._is_object)
                    if name == wanted:
                        yield record
                    elif record.error and (wanted or not found[name]):
                        raise record.error
            elif start == "{" and depth < LIST_DEPTH:
                yield from self.members(wanted, found, f"{name}.", depth + 1)
            else:
                self._value()

    def require_end(self) -> None:
        """Raise UserError if there is anything but white space."""
        if self.peek():
            raise UserError(
                f"{self._place}: text behind the end of the list or object: write one list with all examples"
            )

    @property
    def _place(self) -> str:
        return f"{self._path}:{self._line}"

    def _items(self, opening: str, closing: str) -> Iterator[None]:
        """Stops before each item of a list or an object, and behind its end."""
        self._take(opening)
        if self.peek() == closing:
            return self._take(closing)
        while self.peek():
            yield
            if self.peek() == closing:
                return self._take(closing)
            if self.peek():
                self._take(",")
            if self.peek() == closing:
                raise self._error(f"a comma before {closing}")
        raise self._error(f"the file ends before {closing}")

    def _key(self) -> str:
        if self.peek() != '"':
            raise self._error("a name in double quotes is missing")
        key = self._value()
        self.peek()
        self._take(":")
        return str(key)

    def _take(self, char: str) -> None:
        if self.peek() != char:
            raise self._error(f"{char} is missing")
        self._position += 1

    def _value(self, *, strict: bool = True) -> Any:
        self.peek()
        while True:
            try:
                value, end = (_DECODER if strict else _LENIENT).raw_decode(self._buffer, self._position)
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated string") or error.pos > len(self._buffer) - LITERAL
                if is_cut and self._read_more():
                    continue
                self._move(error.pos)
                raise self._error(error.msg) from error
            except (_Refused, RecursionError) as error:
                raise _refusal(self._place, error, self._example) from error
            is_cut = end > len(self._buffer) - LITERAL and self._buffer[end - 1] not in '"]}'
            if not (is_cut and self._read_more()):
                break
        if strict:
            _check(value, self._buffer, self._place, self._position, end)
        self._move(end)
        return value

    def _read_more(self) -> bool:
        """Read on, each time twice as much as is not decoded yet, so that the time stays linear."""
        rest = len(self._buffer) - self._position
        if rest > LONGEST:
            raise UserError(f"{self._place}: the value has more than {LONGEST:,} characters: write a list of objects")
        more = self._text.read(max(CHUNK, rest))
        if more:
            self._buffer, self._position = self._buffer[self._position :] + more, 0
        return bool(more)

    def _move(self, position: int) -> None:
        self._line += self._buffer.count("\n", self._position, position)
        self._position = position

    def _error(self, reason: str) -> UserError:
        near = self._buffer[max(0, self._position - 20) : self._position + 10]
        where = f" near {near!r}" if near else ""
        return UserError(f"{self._place}: this is not JSON ({reason}{where}): correct the line")


class _Refused(ValueError):
    """JSON that Python reads, but not all of it, or not as it is meant. The message is the reason."""


class _RefusedValue(UserError):
    """The same with its place: the value has an end, so that the next one can be read."""


def _refusal(place: str, error: Exception, example: str = "") -> UserError:
    if isinstance(error, RecursionError):
        return UserError(f"{place}: {TOO_DEEP}{example}: {FEW_COLUMNS}")
    reason, _, remedy = str(error).rpartition(": ")
    return _RefusedValue(f"{place}: {reason}{example}: {remedy}")


def _double(name: str) -> _Refused:
    return _Refused(f"two members of an object have the name '{name}': rename one of them, or take it out")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _double(Counter(name for name, _ in pairs).most_common(1)[0][0])
    return found


def _constant(name: str) -> None:
    raise _Refused(f"{name} is no value of JSON: write null where a value is missing")


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise _Refused(f"a number has more than {MOST_DIGITS} digits: write it as a string")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise _Refused(f"the number {digits[:40]} is too large: write it as a string")
    return number


def _check(value: Any, text: str, place: str, start: int = 0, end: int | None = None) -> None:
    """Raise UserError for half of a surrogate pair, which no file and no tokenizer takes, and for deep nesting."""
    end = len(text) if end is None else end
    try:
        if text.count("[", start, end) + text.count("{", start, end) > DEEPEST:
            require_depth(value)
        if ESCAPED_SURROGATE.search(text, start, end):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise _RefusedValue(f"{place}: {TOO_DEEP}: {FEW_COLUMNS}") from error
    except UnicodeEncodeError as error:
        raise _RefusedValue(
            f"{place}: a text holds half of a surrogate pair (\\ud8..): write whole characters"
        ) from error


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_float)
_LENIENT = json.JSONDecoder(parse_int=str, parse_float=str)
"""Finds the end of a value that is refused."""
READ: dict[Kind, Callable[[Path, Columns], Iterator[Record]]] = {"lines": _lines, "list": _list, "within": _list_within}
