"""Inputs of a monitor: nothing is torn, lost or repeated, whatever happens to the file."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finetune.data.columns import Columns
from finetune.errors import UserError
from finetune.monitor import formats
from finetune.monitor.formats import Progress, Records, Schema
from finetune.monitor.sources import Source, open_source, require_source

SCHEMA = Schema(Columns(("text",)), lambda text, pair: {"text": text})
LONG_AGO = 1_000_000_000


OPEN: list[Source] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


def line(number: int) -> str:
    return json.dumps({"text": f"text {number}"}) + "\n"


def lines(*numbers: int) -> str:
    return "".join(map(line, numbers))


def settle(path: Path) -> None:
    """Let the file have been written long ago."""
    os.utime(path, (LONG_AGO, LONG_AGO))


class Reading:
    """A source, what it has returned, and what it has said."""

    def __init__(self, path: Path, *, state: Any = None, once: bool = False, form: str | None = None) -> None:
        self.notes: list[str] = []
        self.source = open_source(str(path), form, SCHEMA, state, once, self.notes.append)
        OPEN.append(self.source)

    def texts(self, limit: int = 100) -> list[str]:
        return [item.row.values["text"] if item.row else f"! {item.reason}" for item in self.source.read(limit)]

    def numbers(self, limit: int = 100) -> list[int]:
        return [int(text.removeprefix("text ")) for text in self.texts(limit)]

    @property
    def state(self) -> Any:
        """As it comes back from the disk."""
        return json.loads(json.dumps(self.source.state()))


def records(content: bytes, form: str, final: bool = True, pieces: int = 1) -> list[str]:
    """The texts of a content that arrives in pieces of so many bytes."""
    chunks = [content[start : start + pieces] for start in range(0, len(content), pieces)]
    reader = Records("x", form, SCHEMA, lambda: chunks.pop(0) if chunks else b"")
    items = []
    while chunks or final:
        ended = not chunks
        some = reader.read(1, final=final and ended)
        items += some
        if ended and not some:
            break
    return [item.row.values["text"] if item.row else f"! {item.place} {item.reason}" for item in items]


@pytest.mark.parametrize("pieces", [1, 7, 1000])
def test_every_format_in_pieces(pieces: int) -> None:
    assert records(b'\xef\xbb\xbf{"text": "a"}\r\n\n{"text": "\xe5\xa5\xbd"}', "jsonl", pieces=pieces) == ["a", "好"]
    table = b'id,text\n1,"a, ""b""\nsecond line"\n\n2,c\r\n3,5" wide\n'
    assert records(table, "csv", pieces=pieces) == ['a, "b"\nsecond line', "c", '5" wide']
    assert records(b'id\ttext\n1\t"a\n2\tb "c"\n', "tsv", pieces=pieces) == ['"a', 'b "c"']
    assert records("a\n\n 好 \r\nb".encode(), "txt", pieces=pieces) == ["a", " 好 ", "b"]


def test_a_half_line_waits_for_its_end() -> None:
    assert records(b'{"text": "a"}\n{"text": "b', "jsonl", final=False) == ["a"]
    assert records(b'text\n"a\nb', "csv", final=False) == []
    assert records(b"a\nb", "txt", final=False) == ["a"]


def test_what_cannot_be_read_is_named_and_the_rest_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "LONGEST", 200)
    wrong = [
        (b"not json", "this is not JSON (Expecting value at column 1)"),
        (b'{"text": "a"', "this is not JSON"),
        (b"[1]", "[1] is not an example"),
        (b"null", "null is not an example"),
        (b'{"txet": "a"}', "no value in column 'text' (found: txet)"),
        (b'{"text": null}', "no value in column 'text'"),
        (b'{"text": "\\ud83d"}', "half of a surrogate pair"),
        (b'{"text": "\xff"}', "byte 0xff is not UTF-8"),
        (b"1x" * 90, "this is not JSON"),
        (b'{"text": "' + b"a" * 450 + b'"}', "the line has more than"),
    ]
    content = b"".join(one + b"\n" for one, _ in wrong) + line(1).encode()
    for pieces in (1, 100, 10_000):
        *refused, last = records(content, "jsonl", pieces=pieces)
        assert last == "text 1"
        for number, (found, (_, reason)) in enumerate(zip(refused, wrong, strict=True), start=1):
            assert found.startswith(f"! x:{number} {reason}") or reason in found


def test_deep_json_is_one_line() -> None:
    [deep, after] = records(b"[" * 100_000 + b"\n" + line(1).encode(), "jsonl", pieces=10**6)
    assert "! x:1" in deep
    assert after == "text 1"


def test_rows_of_a_table_that_cannot_be_read() -> None:
    found = records(b'id,text\n1,"a" b\n2,a,b\n3,c\n', "csv")
    assert found == ["! x:2 this is not a row of .csv (',' expected after '\"'): correct its quotes",
                     "! x:3 3 columns where the header has 2: correct the row", "c"]  # fmt: skip
    assert records(b"id,name\n1,a\n", "csv") == [
        "! x:2 no value in column 'text' (found: id, name): fill it in, or add columns: {text: name} under data in the "
        "config, with the right column"
    ]


def test_a_quote_that_is_never_closed_costs_one_line() -> None:
    table = b'text\n"open\n' + b"".join(b"line %d\n" % number for number in range(150))
    first, *rest = records(table, "csv")
    assert first.startswith("! x:2 this is not a row of .csv (unexpected end of data)")
    assert rest == [f"line {number}" for number in range(150)]


def test_positions_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('text\n"a\nb"\nc\n"open\n')
    reading = Reading(path)
    assert reading.texts(1) == ["a\nb"]
    assert Progress(**reading.state["progress"]) == Progress(11, 3, ["text"], False)
    assert Reading(path, state=reading.state).texts() == ["c"]


def test_a_file_that_grows(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(lines(1, 2) + '{"text": "te')
    reading = Reading(path)
    assert reading.numbers() == [1, 2]
    assert reading.numbers() == []
    with path.open("a") as file:
        file.write('xt 3"}\n')
    assert reading.numbers() == [3]
    assert not reading.source.ended
    assert reading.notes == []


def test_it_is_read_on_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(lines(*range(50)))
    reading, found = Reading(path), []
    for _ in range(20):
        found += reading.numbers(3)
        reading = Reading(path, state=reading.state)
    assert found == list(range(50))
    assert reading.notes == []


def test_rotation(tmp_path: Path) -> None:
    path, old = tmp_path / "x.jsonl", tmp_path / "x.jsonl.1"
    path.write_text(lines(1, 2, 3))
    reading = Reading(path)
    assert reading.numbers(2) == [1, 2]
    path.rename(old)
    assert reading.numbers(1) == [3], "between two files"
    path.write_text(lines(5))
    with old.open("a") as file:
        file.write(line(4).rstrip())
    assert reading.numbers() == [], "the old file may still be written to"
    settle(old)
    assert reading.numbers() == [4]
    assert reading.numbers() == []
    assert reading.numbers() == [5]
    assert reading.notes == [f"{path}: was replaced: the new content is read from its beginning"]


def test_rotation_while_nobody_reads(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(lines(1, 2, 3))
    reading = Reading(path)
    assert reading.numbers(1) == [1]
    state = reading.state
    path.rename(tmp_path / "x.jsonl.1")
    settle(tmp_path / "x.jsonl.1")
    path.write_text(lines(4, 5, 6, 7))
    reading = Reading(path, state=state)
    assert [*reading.numbers(), *reading.numbers(), *reading.numbers()] == [2, 3, 4, 5, 6, 7]
    assert len(reading.notes) == 2


def test_rotation_with_equal_beginnings(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(line(1) * 200)
    reading = Reading(path)
    assert len(reading.numbers(150)) == 150
    state = reading.state
    path.rename(tmp_path / "old")
    settle(tmp_path / "old")
    path.write_text(line(1) * 300)
    reading = Reading(path, state=state)
    assert sum(len(reading.numbers(1000)) for _ in range(4)) == 350


@pytest.mark.parametrize("rest", [lines(3), lines(*range(3, 100))])
def test_truncation(rest: str, tmp_path: Path) -> None:
    """As copytruncate does; also where the new content is longer than the old one by the time of the next look."""
    path = tmp_path / "x.jsonl"
    path.write_text(lines(1, 2))
    reading = Reading(path)
    assert reading.numbers(1) == [1]
    path.write_text(rest)
    assert reading.numbers() == [2], "was read before"
    assert reading.numbers() == []
    assert reading.numbers()[:1] == [3]
    assert reading.notes == [f"{path}: was truncated: the new content is read from its beginning"]


@pytest.mark.parametrize("content", [lines(9), lines(*range(9, 100))])
def test_truncation_while_nobody_reads(content: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(lines(1, 2))
    reading = Reading(path)
    assert reading.numbers() == [1, 2]
    path.write_text(content)
    reading = Reading(path, state=reading.state)
    assert reading.numbers()[:1] == [9]
    assert len(reading.notes) == 1


def test_a_copied_project_is_read_on(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(lines(1, 2))
    reading = Reading(path)
    reading.numbers(1)
    shutil.copy(path, tmp_path / "y.jsonl")
    assert Reading(tmp_path / "y.jsonl", state=reading.state).numbers() == [2]


def test_once_ends_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(lines(1, 2).rstrip())
    reading = Reading(path, once=True)
    assert reading.numbers() == [1]
    assert (reading.numbers(), reading.source.ended) == ([], False), "the last line may not be whole"
    settle(path)
    assert reading.numbers() == [2]
    assert (reading.numbers(), reading.source.ended) == ([], True)


def test_a_folder(tmp_path: Path) -> None:
    for name, content in (("b.jsonl", lines(3, 4)), ("a.txt", "text 1\ntext 2"), ("c.csv", "text\ntext 5\n")):
        settle((tmp_path / name).write_text(content) and tmp_path / name)
    (tmp_path / "d.jsonl").write_text(lines(6))
    for name in ("e.jsonl.tmp", ".hidden.jsonl", "f.parquet"):
        settle((tmp_path / name).write_text("?") and tmp_path / name)
    reading = Reading(tmp_path)
    assert [reading.numbers(1)[0] for _ in range(5)] == [1, 2, 3, 4, 5]
    assert reading.numbers() == [], "d.jsonl is still being written"
    settle(tmp_path / "d.jsonl")
    assert reading.numbers() == [6]
    (tmp_path / "aa.jsonl").write_text(lines(7))
    settle(tmp_path / "aa.jsonl")
    assert reading.numbers() == [7]
    assert reading.notes == [f"{tmp_path / 'f.parquet'}: is left out, for it is none of jsonl, csv, tsv, txt"]


def test_a_folder_after_a_restart(tmp_path: Path) -> None:
    for number in range(6):
        path = tmp_path / f"{number}.jsonl"
        path.write_text(lines(3 * number, 3 * number + 1, 3 * number + 2))
        settle(path)
    reading, found = Reading(tmp_path), []
    for _ in range(12):
        found += reading.numbers(2)
        reading = Reading(tmp_path, state=reading.state)
    assert found == list(range(18))
    with (tmp_path / "2.jsonl").open("a") as file:
        file.write(lines(18))
    (tmp_path / "3.jsonl").write_text(lines(19, 20, 21))
    for name in ("2.jsonl", "3.jsonl"):
        os.utime(tmp_path / name, (LONG_AGO + 1, LONG_AGO + 1))
    assert [*reading.numbers(), *reading.numbers()] == [18, 19, 20, 21], "one grew, the other was written anew"
    assert reading.numbers() == []


def test_a_folder_once(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(lines(1))
    reading = Reading(tmp_path, once=True)
    assert (reading.numbers(), reading.source.ended) == ([], False)
    settle(tmp_path / "a.jsonl")
    assert (reading.numbers(), reading.numbers(), reading.source.ended) == ([1], [], True)


def test_inputs_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("")
    os.mkfifo(tmp_path / "pipe.jsonl")
    for name, reason in (
        ("none.jsonl", "no such file or folder"),
        ("x.parquet", "unknown format"),
        ("pipe.jsonl", "--input -"),
    ):
        with pytest.raises(UserError, match=reason):
            require_source(str(tmp_path / name), None)
    require_source(str(tmp_path / "x.parquet"), "txt")
