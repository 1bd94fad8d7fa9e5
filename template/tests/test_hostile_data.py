"""Hostile data files: depth, size and time are bounded, and what a parser raises is a sentence with its place."""

import gc
import gzip
import io
import json
import os
import re
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from finetune.config.config import Data
from finetune.data import opening
from finetune.data.files import files_of
from finetune.data.patterns import matches, require_pattern
from finetune.data.rows import Row
from finetune.dataset import stream_chosen
from finetune.errors import UserError
from finetune.parsing import DEEPEST, parsing, require_depth
from finetune.tasks import make_task
from finetune.tasks.settings import TextClassification

pytestmark = pytest.mark.filterwarnings("ignore::finetune.console.Notice")
TASK = make_task(TextClassification(type="text-classification"))
TEXTS = pyarrow.array(["a", "b"])


def rows_of(path: Path, **settings_: Any) -> list[Row]:
    rows = list(stream_chosen(Data(train="x", **settings_), TASK, [path]))
    TASK.parse(rows)
    return rows


def refusal(path: Path, **settings_: Any) -> str:
    started = time.process_time()
    with pytest.raises(UserError) as caught:
        rows_of(path, **settings_)
    assert time.process_time() - started < 9
    assert len(str(caught.value)) < 1000
    return str(caught.value)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


JSON = {
    "half a character": (b'"\\ud800"', "a text holds half of a surrogate pair"),
    "400 digits": (b"9" * 400, "a number has more than 308 digits"),
    "400 digits, a fraction": (b"9" * 400 + b".5", "is too large"),
    "5,000 digits": (b"9" * 5000, "a number has more than 308 digits"),
    "150 levels": (b"[" * 150 + b"]" * 150, "the JSON is nested too deeply"),
    "150 objects": (b'{"a":' * 150 + b"1" + b"}" * 150, "the JSON is nested too deeply"),
    "2,000 levels": (b"[" * 2000 + b"]" * 2000, "the JSON is nested too deeply"),
    "100,000 levels": (b"[" * 100_000, "the JSON is nested too deeply"),
}


@pytest.mark.parametrize("ending", [".jsonl", ".json"])
@pytest.mark.parametrize("name", JSON)
def test_hostile_json_is_refused_with_its_line(name: str, ending: str, tmp_path: Path) -> None:
    value, told = JSON[name]
    rows = [b'{"text": "a", "label": "x"}', b'{"text": "b", "label": "y", "z": %s}' % value]
    path = written(tmp_path / f"x{ending}", b"\n".join(rows) if ending == ".jsonl" else b"[" + b",\n".join(rows) + b"]")
    place, _, sentence = refusal(path).partition(":2: ")
    assert place == str(path)
    assert told in sentence
    if name in ("150 levels", "half a character"):  # the value has an end: the other rows are read
        assert len(rows_of(path, skip_invalid=True)) == 1


def test_lists_and_objects_are_read_up_to_the_budget_of_depth() -> None:
    deep: Any = 1
    for _ in range(DEEPEST):
        deep = {"a": [deep]} if isinstance(deep, int) else [deep]
    with pytest.raises(RecursionError):
        require_depth([deep])
    require_depth(deep[0])
    require_depth("[" * 1000)


def test_a_file_with_many_columns_is_read_in_seconds(tmp_path: Path) -> None:
    names = ",".join(f"c{number}" for number in range(20_000))
    path = written(tmp_path / "x.csv", f"{names},text,label\n{'1,' * 20_000}a,b\n".encode())
    started = time.process_time()
    assert rows_of(path)[0].values == {"text": "a", "label": "b"}
    twice = written(
        tmp_path / "y.jsonl", b"{%s}" % b",".join(b'"k%d": 1' % (number % 19_999) for number in range(20_000))
    )
    assert "two members of an object have the name 'k0'" in refusal(twice)
    assert time.process_time() - started < 5


def parquet(path: Path, table: Any) -> Path:
    pyarrow.parquet.write_table(table, path)
    return path


def arrow(path: Path, table: Any) -> Path:
    with pyarrow.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
    return path


def times(kind: Any, *values: int) -> Any:
    return pyarrow.array(values, pyarrow.int64()).view(kind)


LOST = {
    "a year": times(pyarrow.timestamp("s"), 1, 10**14),
    "a year in lists": pyarrow.ListArray.from_arrays([0, 1, 2], times(pyarrow.timestamp("s"), 1, 10**14)),
    "nanoseconds in objects": pyarrow.StructArray.from_arrays([times(pyarrow.timestamp("ns"), 1000, 2**62 + 1)], ["t"]),
    "a date": pyarrow.array([1, 10**9], pyarrow.int32()).view(pyarrow.date32()),
}


@pytest.mark.parametrize("write", [parquet, arrow])
@pytest.mark.parametrize("name", LOST)
def test_a_value_that_python_cannot_hold_is_an_invalid_row(
    name: str, write: Callable[[Path, Any], Path], tmp_path: Path
) -> None:
    path = write(tmp_path / f"x.{write.__name__}", pyarrow.table({"text": TEXTS, "label": TEXTS, "at": LOST[name]}))
    assert refusal(path).startswith(f"{path}: row 2: column 'at' has a value of type ")
    assert [row.place for row in rows_of(path, skip_invalid=True)] == [f"{path}: row 1"]


@pytest.mark.parametrize("write", [parquet, arrow])
def test_odd_columns_are_read_as_text_or_refused(write: Callable[[Path, Any], Path], tmp_path: Path) -> None:
    def file(name: str, **columns: Any) -> Path:
        return write(tmp_path / f"{name}.{write.__name__}", pyarrow.table({"text": TEXTS, **columns}))

    nanoseconds = rows_of(file("ns", label=times(pyarrow.timestamp("ns"), 1, 2)))
    assert [row.values["label"] for row in nanoseconds] == [
        "1970-01-01 00:00:00.000000001",
        "1970-01-01 00:00:00.000000002",
    ]
    assert rows_of(file("words", label=pyarrow.array(["x", "y"]).dictionary_encode()))[1].values["label"] == "y"
    assert rows_of(file("bytes", label=pyarrow.array([b"x", b"\xc3\xa9"])))[1].values["label"] == "é"
    assert "row 1: the label is b'\\xff': write" in refusal(file("binary", label=pyarrow.array([b"\xff", b"a"])))
    assert rows_of(file("unused", label=TEXTS, image=pyarrow.array([b"\xff", b"a"])))[0].original["image"] == b"\xff"
    zone = refusal(file("zone", label=times(pyarrow.timestamp("us", "Nowhere/City"), 1, 2)))
    assert "cannot be read as" in zone or "cannot hold" in zone
    twice = write(tmp_path / f"twice.{write.__name__}", pyarrow.table([TEXTS] * 3, names=["text", "text", "label"]))
    assert refusal(twice) == f"{twice}: 2 columns have the name 'text': rename them"


SHEET = (
    b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    b'<row r="1"><c r="A1" t="inlineStr"><is><t>text</t></is></c>'
    b'<c r="B1" t="inlineStr"><is><t>label</t></is></c></row>'
    b"%s</sheetData></worksheet>"
)


def workbook(path: Path, rows: bytes, start: bytes = b"") -> Path:
    book, sink = Workbook(), io.BytesIO()
    book.active.append(["text", "label"])
    book.save(sink)
    source = zipfile.ZipFile(sink)
    with zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            target.writestr(name, start + SHEET % rows if name.endswith("sheet1.xml") else source.read(name))
    return path


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (b'<row r="2"><c r="A2" t="s"><v>99999</v></c></row>', "cannot be read as .xlsx (list index out of range)"),
        (b'<row r="2"><c r="A2"><v>abc</v></c></row>', "cannot be read as .xlsx (invalid literal"),
        (b'<row r="2"><c r="A2"><v>' + b"9" * 5000 + b"</v></c></row>", "cannot be read as .xlsx (Exceeds the limit"),
        (b'<row r="2"><c r="A2" t="d"><v>99999-99-99</v></c></row>', "cannot be read as .xlsx (Invalid datetime"),
        (b'<row r="2"><c r="ZZZZ2"><v>1</v></c></row>', "cannot be read as .xlsx ('ZZZZ' is not a valid column"),
        (b'<row r="x"><c r="A2"><v>1</v></c></row>', "cannot be read as .xlsx ("),
        (b'<row r="3"><c r="A3"><v>1</v></c></row><row spans="1" r="2"/>', "row 2 comes after row 3, as in no sheet"),
    ],
)
def test_odd_cells_of_a_workbook_are_refused(rows: bytes, told: str, tmp_path: Path) -> None:
    assert refusal(workbook(tmp_path / "x.xlsx", rows)).startswith(f"{tmp_path / 'x.xlsx'}: {told}")


def test_entities_in_a_workbook_are_not_expanded(tmp_path: Path) -> None:
    start = b'<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    rows = b'<row r="2"><c r="A2" t="inlineStr"><is><t>&a;</t></is></c></row>'
    assert "cannot be read as .xlsx (" in refusal(workbook(tmp_path / "x.xlsx", rows, start))


def test_a_refused_workbook_leaves_no_file_open(tmp_path: Path) -> None:
    rows = b'<row r="2"><c r="A2" t="inlineStr"><is><t>&a;</t></is></c></row>'
    path = workbook(tmp_path / "x.xlsx", rows)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(3):
            refusal(path)
        gc.collect()
    assert not [warning for warning in seen if issubclass(warning.category, ResourceWarning)]


def test_a_workbook_has_no_more_rows_than_excel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.data.readers.xlsx.MOST_ROWS", 1000)
    rows = (
        b'<row r="2"><c r="A2"><v>1</v></c><c r="B2"><v>2</v></c></row><row r="999999999"><c r="A3"><v>1</v></c></row>'
    )
    assert "has more rows than the 1,000 of a sheet" in refusal(workbook(tmp_path / "x.xlsx", rows))


@pytest.mark.parametrize("ending", [".jsonl.gz", ".csv.gz", ".json.gz", ".jsonl.zst", ".txt.gz"])
def test_a_compressed_bomb_is_refused(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "most_bytes", lambda size: max(2**20, 200 * size))
    content = b" \n" * 2**22
    packed = gzip.compress(content) if ending.endswith("gz") else pyarrow.compress(content, codec="zstd", asbytes=True)
    path = written(tmp_path / f"x{ending}", packed)
    assert "bytes when it is decompressed: decompress it yourself" in refusal(path)


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    whole = gzip.compress(b"text,label\na,b\n")
    for number, content in enumerate([whole[:9], whole[:-5], whole + b"xx", b"\0" * 99, b"text,label\n"]):
        assert "is no whole .gz file (" in refusal(written(tmp_path / f"{number}.csv.gz", content))
    assert "is no whole .zst file (" in refusal(written(tmp_path / "x.csv.zst", b"\x28\xb5\x2f\xfd" + b"\xff" * 50))


@pytest.mark.parametrize(("codec", "text"), [("utf-7", b"+2AA-"), ("unicode_escape", b"\\ud800")])
def test_an_encoding_that_reads_half_characters_is_refused(codec: str, text: bytes, tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", b"text,label\na,b\n%s,c\n" % text)
    assert refusal(path, encoding=codec) == (
        f"{path}:3: half of a surrogate pair, as {codec} reads it: correct data.encoding"
    )


def test_what_is_no_regular_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("x.jsonl")
    for name in ("x.jsonl", "/dev/zero"):
        assert refusal(Path(name)).startswith(f"{name}: cannot be read (a named pipe or device, no regular file): ")
    with pytest.raises(UserError, match=r"cannot be read \(File name too long\): correct the path"):
        files_of([f"{'long' * 100}.csv"])
    with pytest.raises(UserError, match=r"there is no such file"):
        files_of(["nul\0.csv"])
    folder = tmp_path / "folder"
    folder.mkdir()
    os.mkfifo(folder / "a.txt")
    with pytest.raises(UserError, match="folder"):
        rows_of(folder)


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    content = b'{"text": "a", "label": "x"}\n' * 10_000
    path = written(tmp_path / "x.jsonl", content)
    rows = stream_chosen(Data(train="x"), TASK, [path])
    next(rows)
    path.write_bytes(content.replace(b'"a"', b'"\xff"'))
    with pytest.raises(UserError, match="has changed while it was read: start again when it is complete"):
        list(rows)
    path.write_bytes(content)
    rows = stream_chosen(Data(train="x"), TASK, [path])
    next(rows)
    os.truncate(path, len(content) - 9)
    with pytest.raises(UserError, match=r"x.jsonl:10000: this is not JSON"):
        list(rows)


def test_a_pattern_has_a_limit_of_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "x.jsonl", json.dumps({"text": f"{'a' * 60}!", "label": "x"}).encode())
    with monkeypatch.context() as patched:
        patched.setattr("finetune.data.patterns.SECONDS", 0.05)
        told = refusal(path, where={"text": "(a|aa)+$"})
    assert told.startswith(f"{path}:1: data.where.text cannot be searched for in this row (regex timed out): write")
    assert len(rows_of(path, where={"text": "^(?!news)", "label": r"^\w$"})) == 1


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("item{i}", "item", False),
        ("item{i}", "item{i}", True),
        (r"\\{s}|x{2}", "xx", True),
        ("foo{e<=1}", "fo", False),
        ("[[:alpha:]]", "x", False),
        (r"[^[:alpha:\]]", "l", False),
        (r"[^[:alpha:\]]", "x", True),
        (r"\N{DIGIT ONE}", "1", True),
    ],
)
def test_a_pattern_means_what_it_means_to_python(pattern: str, text: str, found: bool) -> None:
    """To the package regex, `{i}` is a similar text, with any insertions."""
    require_pattern(pattern)
    with warnings.catch_warnings(action="ignore"):
        assert bool(re.search(pattern, text)) is found
    assert matches(pattern, text, "x:1", "data.where.a") is found


@settings(max_examples=200, deadline=None)
@given(
    pattern=st.text(st.sampled_from(r"ab(|)[]{}*+?.^$\dw0123,-:=!<>P#é"), max_size=14),
    text=st.text(st.sampled_from("ab1é \n"), max_size=30),
)
def test_any_pattern_is_searched_for_or_refused(pattern: str, text: str) -> None:
    try:
        require_pattern(pattern)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - most patterns are none
        return
    assert matches(pattern, text, "x:1", "data.where.a") in (True, False)


def test_a_column_number_with_5000_digits_names_no_column(tmp_path: Path) -> None:
    path = written(tmp_path / "x.jsonl", b'{"text": "a", "label": "x"}\n')
    assert "which data.template names" in refusal(path, template=f"{{{'9' * 5000}}}")


COMPLETE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.fixed_dictionaries({"text": COMPLETE, "label": COMPLETE}, optional={"z": COMPLETE}), min_size=1)
)
def test_rows_of_any_values_are_counted(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    """Whatever JSON holds, each line is a row or an error with its place: none is lost, and no other exception."""
    path = written(tmp_path / "x.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows).encode())
    refused = {refused_line(path, rows, number) for number in range(len(rows))} - {None}
    try:
        found = rows_of(path, skip_invalid=True)
    except UserError as error:
        assert str(error).startswith(str(path))  # noqa: PT017 - not all are refused
        return
    assert len(found) + len(refused) == len(rows)


def refused_line(path: Path, rows: list[dict[str, Any]], number: int) -> int | None:
    """The number of a row that is refused by itself; None if it is read."""
    try:
        rows_of(written(path.with_name("one.jsonl"), json.dumps(rows[number]).encode()))
    except UserError:
        return number
    return None


def test_a_fault_of_our_own_code_stays_a_traceback() -> None:
    with (
        pytest.raises(UserError, match=r"^x: broken \(unknown name 'key'\): mend it$"),
        parsing("x: broken", "mend it"),
    ):
        raise KeyError("key")
    with pytest.raises(KeyboardInterrupt), parsing("x: broken", "mend it"):
        raise KeyboardInterrupt
    with pytest.raises(UserError, match=r"^as it is$"), parsing("x: broken", "mend it"):
        raise UserError("as it is")
    with pytest.raises(UserError, match="it needs more memory than there is"), parsing("x: broken", "mend it"):
        raise MemoryError
