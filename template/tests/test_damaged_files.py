"""Damaged files: each reader reads all of a file, or refuses it in a sentence with its place; nothing else happens."""

import csv
import gzip
import io
import json
import re
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from finetune.data.invalid import InvalidRows
from finetune.data.numbers import is_number, number_of
from finetune.data.opening import lines_of
from finetune.data.rows import Columns, Row, read_rows, stream_rows
from finetune.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore::finetune.console.Notice")
ROWS = [
    {"text": 'say "hi", 你好\tthere', "label": "a"},
    {"text": "two\nlines; and | more", "label": 2.5},
    {"text": "x", "label": None},
]
NUMBERS = count()
PIECES = [bytes([byte]) for byte in b'"\t\n\r,;|{}[]:\\\0\xff\xef']
PIECES += [b"\\ud800", b"NaN", b"1e999", b'""', b"\r\n", b"[[", b"null", b"\xef\xbb\xbf"]
MUTATIONS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6), st.sampled_from(PIECES)), min_size=1, max_size=4)
"""Where something is damaged, as a share of the file, how many bytes are lost there, and what stands in their place."""


def table(separator: str) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator).writerows([["text", "label"], *(row.values() for row in ROWS)])
    return text.getvalue().encode()


def workbook() -> bytes:
    book, sink = Workbook(), io.BytesIO()
    for row in [["text", "label"], *(list(row.values()) for row in ROWS)]:
        book.active.append(row)
    book.save(sink)
    return sink.getvalue()


FILES = {
    "a.csv": table(","), "b.csv": table(";"), "a.tsv": table("\t"), "a.json": json.dumps(ROWS, indent=1).encode(),
    "b.json": json.dumps({"n": 1, "data": ROWS}, ensure_ascii=False).encode(),
    "a.jsonl": "".join(f"{json.dumps(row)}\n" for row in ROWS).encode(),
    "a.csv.gz": gzip.compress(table(","), mtime=0), "c.csv": table(",").decode().encode("utf-16"),
    "a.txt": b"One text.\nMore of it.\n",
}  # fmt: skip


def damaged(content: bytes, mutations: list[tuple[float, int, bytes]]) -> bytes:
    for share, lost, piece in mutations:
        place = int(share * len(content))
        content = content[:place] + piece + content[place + lost :]
    return content


def read_or_refused(path: Path) -> list[Row] | None:
    """The rows, or None where the file is refused as a user's mistake."""
    columns = Columns((), text_column="text") if path.suffix == ".txt" else Columns(("text", "label"), ("more",))
    try:
        return read_rows(path, columns)
    except UserError as error:
        sentence = str(error)
    assert re.match(rf"{re.escape(str(path))}(:\d+|: row \d+)?: .+", sentence, re.DOTALL)
    assert len(sentence) < 700
    return None


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutations=MUTATIONS)
def test_a_damaged_file_is_read_or_refused(
    name: str, mutations: list[tuple[float, int, bytes]], tmp_path: Path
) -> None:
    path = tmp_path / f"{next(NUMBERS)}-{name}"
    path.write_bytes(damaged(FILES[name], mutations))
    rows = read_or_refused(path)
    if rows is not None and name in ("a.json", "a.jsonl"):
        assert [row.original for row in rows] == expected(path)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutations=MUTATIONS)
def test_every_damaged_line_is_counted(mutations: list[tuple[float, int, bytes]], tmp_path: Path) -> None:
    """Where invalid rows are left out, each line is an example or one of these."""
    path, invalid = tmp_path / f"{next(NUMBERS)}.jsonl", InvalidRows.all_kept()
    path.write_bytes(damaged(FILES["a.jsonl"], mutations))
    try:
        rows = [*stream_rows(path, Columns(("text", "label")), invalid)]
    except UserError:  # of the file: its encoding, no examples
        return
    numbers = [number for number, line in enumerate(lines_of(path), start=1) if line.strip()]
    assert len(rows) + invalid.count == len(numbers)
    assert {row.place for row in rows} | {place for place, _ in invalid.errors} == {f"{path}:{n}" for n in numbers}


def expected(path: Path) -> Any:
    """What Python's own parser reads; where we read a file, it must read the same rows, all of them."""
    text = path.read_bytes().decode("utf-8-sig")
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return [json.loads(line) for line in text.split("\n") if line.strip()]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutations=MUTATIONS)
def test_a_damaged_workbook_is_read_or_refused(mutations: list[tuple[float, int, bytes]], tmp_path: Path) -> None:
    path = tmp_path / f"{next(NUMBERS)}.xlsx"
    path.write_bytes(damaged(workbook(), mutations))
    read_or_refused(path)


@settings(max_examples=300, deadline=None)
@given(value=st.text("0123456789.,+-eE '\u00a0\uff11x", max_size=9) | st.integers() | st.floats() | st.none())
def test_whatever_is_no_number_is_refused(value: Any) -> None:
    if is_number(value):
        assert isinstance(number_of(value, "x:1", "the label"), float)
    else:
        with pytest.raises(UserError, match=r"^x:1: the label is "):
            number_of(value, "x:1", "the label")
