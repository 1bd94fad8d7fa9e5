"""Written rows: in the format, the encoding and the order of the input, and read again by our own readers."""

import datetime
import gzip
import io
import json
import re
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from conftest import Project
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook

from finetune.cli import main
from finetune.console import Notice
from finetune.data.opening import FileOptions
from finetune.data.rows import Columns, Row, read_rows
from finetune.data.writers import compressed, content_of
from finetune.errors import UserError

COLUMNS = Columns(("text",))
ADDED = [{"prediction": 'a "b"\tc\nd', "probability": 0.25}, {"prediction": "=1+1", "probability": None}]
NUMBERS = count()


def written(path: Path, added: list[dict[str, Any]], columns: Columns = COLUMNS) -> Path:
    """The file of the rows of `path` with what is added to them."""
    target = path.with_name(f"new-{path.name}")
    target.write_bytes(compressed(target, content_of(path, columns, read_rows(path, columns), added)))
    return target


def originals(path: Path, columns: Columns = COLUMNS) -> list[dict[str, Any]]:
    return [row.original for row in read_rows(path, columns)]


def shown(value: Any) -> str:
    return "" if value is None else str(value)


def merged(path: Path, added: list[dict[str, Any]], text: Callable[[Any], Any] = shown) -> Any:
    """The rows of a file with what is added to them, as cells of a table hold it."""
    pairs = zip(originals(path), added, strict=True)
    return [row | {name: text(value) for name, value in more.items()} for row, more in pairs]


@pytest.mark.parametrize(("name", "content", "start"), [
    ("a.csv", b"\xef\xbb\xbfid;text\r\n1;one\r\n2;\"2;2\"\r\n", b"\xef\xbb\xbfid;text;prediction;probability\r\n1;"),
    ("a.csv", "id,text\n1,a\n2,好\n".encode("utf-16"), "\ufeffid,text,prediction,probability".encode("utf-16-le")),
    ("a.csv", b"sep=;\nid;text\n1;one\n2;two\n", b"sep=;\nid;text;prediction;probability\n1;one;\""),
    ("a.csv", b"id,text\r1,one\r2,two\r", b"id,text,prediction,probability\r1,one,\""),
    ("a.tsv", b"id\ttext\n1\tone\n2\ttwo\n", b'"id"\t"text"\t"prediction"\t"probability"\n"1"\t"one"\t"a ""b""\tc'),
    ("a.tsv", b"id\ttext\n1\t\"one\" more\n2\the said \"two\"\n", b'"id"\t"text"\t"prediction"'),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore::finetune.console.Notice")
def test_tables_keep_their_form(name: str, content: bytes, start: bytes, project: Project) -> None:
    path = project.write(name, content)
    target = written(path, ADDED)
    assert target.read_bytes().startswith(start)
    assert originals(target) == merged(path, ADDED)


def test_a_table_with_tabs_has_quotes_only_where_needed(project: Project) -> None:
    path = project.write("a.tsv", 'id\ttext\n1\the said "no"\n2\tfine\n')
    added = [{"prediction": "a"}, {"prediction": 'b "c"'}]
    target = written(path, added)
    assert target.read_text() == 'id\ttext\tprediction\n1\the said "no"\ta\n2\tfine\tb "c"\n'
    assert originals(target) == merged(path, added)


def test_a_table_without_a_header_stays_one(project: Project) -> None:
    bare = Columns(("text", "label"), header=False, targets=("label",), trained=())
    path = project.write("a.csv", "one,1\ntwo,2\n")
    target = written(path, [{"prediction": "x"}, {"prediction": "y"}], bare)
    assert target.read_text() == "one,1,x\ntwo,2,y\n"
    assert [row.values for row in read_rows(target, bare)] == [{"text": "one"}, {"text": "two"}]


@pytest.mark.filterwarnings("ignore::finetune.console.Notice")
def test_json_keeps_its_form(project: Project) -> None:
    rows: list[dict[str, Any]] = [{"text": "好 \u2028", "x": [1.5, None, {"y": True}]}, {"x": {}, "text": "b"}]
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    inner = {"version": 1, "a.b": {"rows": rows}, "tags": [1]}
    for name, content in (
        ("a.jsonl", lines), ("b.jsonl", json.dumps(rows)), ("a.json", json.dumps(rows)), ("b.json", lines),
        ("c.json", json.dumps(inner)),
    ):  # fmt: skip
        path = project.write(name, content)
        target = written(path, ADDED)
        expected = merged(path, ADDED, lambda value: value)
        assert originals(target) == expected
        if content == lines:
            assert [json.loads(line) for line in target.read_text("utf-8").split("\n")[:-1]]
        else:
            whole = json.loads(target.read_text("utf-8"))
            assert whole == ({**inner, "a.b": {"rows": expected}} if name == "c.json" else expected)


def test_parquet_keeps_its_schema(project: Project) -> None:
    moments = pyarrow.array([datetime.datetime(2024, 5, 1), None], pyarrow.timestamp("ns", "Europe/Berlin"))
    texts, small = pyarrow.array(["a", "b"]).dictionary_encode(), pyarrow.array([1, None], pyarrow.int8())
    table = pyarrow.table({"text": texts, "at": moments, "n": small}).replace_schema_metadata({"pandas": "{}"})
    pyarrow.parquet.write_table(table, "a.parquet")
    path = Path("a.parquet")
    rows = [row for row in read_rows(path, COLUMNS) if row.values["text"] == "b"]
    added = [{"prediction": "x", "scores": {"x": 0.5}}]
    Path("b.parquet").write_bytes(content_of(path, COLUMNS, rows, added))
    found = pyarrow.parquet.read_table("b.parquet")
    assert found.drop(["prediction", "scores"]) == pyarrow.parquet.read_table(path).slice(1)
    assert found.schema.metadata[b"pandas"] == b"{}"
    assert found.select(["prediction", "scores"]).to_pylist() == added


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_arrow_keeps_its_schema(kind: str, project: Project) -> None:
    table = pyarrow.table({"text": ["a", "b"], "n": pyarrow.array([1, None], pyarrow.int8())})
    make = pyarrow.ipc.new_file if kind == "file" else pyarrow.ipc.new_stream
    with pyarrow.OSFile("a.arrow", "wb") as sink, make(sink, table.schema) as writer:
        writer.write_table(table)
    rows = [Row(f"a.arrow: row {n}", {}, {"text": "x"}) for n in (1, 2)]
    content = content_of(Path("a.arrow"), COLUMNS, rows, [{"prediction": "x"}, {"prediction": "y"}])
    assert pyarrow.ipc.open_file(content).read_all().drop(["prediction"]) == table


def test_a_workbook_keeps_the_types_of_its_cells(project: Project) -> None:
    book = Workbook()
    rows = [["text", "n", "at", "yes"], ["one", 5, datetime.datetime(2024, 5, 1, 8), True], ["two", 0.5, None, False]]
    for row in [[], *rows, [None] * 4]:
        book.active.append(row)
    book.save("a.xlsx")
    path = Path("a.xlsx")
    target = written(path, ADDED)
    assert target.read_bytes() == content_of(path, COLUMNS, read_rows(path, COLUMNS), ADDED), "it is reproducible"
    [sheet] = load_workbook(target).worksheets
    assert [[cell.value for cell in row] for row in sheet.iter_rows()] == [
        [*rows[0], "prediction", "probability"], [*rows[1], *ADDED[0].values()], [*rows[2], *ADDED[1].values()]
    ]  # fmt: skip
    assert sheet["E3"].data_type == "s", "a text that begins with = is no formula"
    assert originals(target) == merged(path, ADDED)
    with pytest.raises(
        UserError, match=r"a\.xlsx: row 3: a prediction has more than 32,767 characters: save the input"
    ):
        written(path, [{"prediction": "x" * 40_000}, {}])
    assert originals(written(path, [{"prediction": "a\x01b"}, {}]))[0]["prediction"] == "a\ufffdb"


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_compressed_files_stay_so(ending: str, project: Project) -> None:
    path = Path(f"a.csv{ending}")
    path.write_bytes(compressed(path, b"text\none\ntwo\n"))
    target = written(path, ADDED)
    assert target.read_bytes()[:2] == path.read_bytes()[:2]
    assert originals(target) == merged(path, ADDED)


def test_a_column_of_the_file_is_not_overwritten(project: Project) -> None:
    path = project.write("a.jsonl", '{"text": "a", "prediction": "mine"}\n{"text": "b", "prediction_2": 1}\n')
    with pytest.warns(Notice, match="has a column 'prediction': the new one is written as 'prediction_3'"):
        assert originals(written(path, ADDED))[0] == {
            "text": "a", "prediction": "mine", "prediction_3": ADDED[0]["prediction"], "probability": 0.25
        }  # fmt: skip


def test_an_encoding_that_lacks_a_character_gives_way_to_utf8(project: Project) -> None:
    path = project.write("a.csv", "text\nschön\nnö\n".encode("latin-1"))
    columns = Columns(("text",), file=FileOptions(encoding="latin-1"))
    with pytest.warns(Notice, match=r"its encoding latin-1 has no '好': the predictions are written in UTF-8"):
        target = written(path, [{"prediction": "好"}, {"prediction": "好"}], columns)
    assert originals(target, columns)[0] == {"text": "schön", "prediction": "好"}


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12) | st.text(
    "\"\t\r\n,;|\\ 'a=", max_size=8
)

NOT_IN_XML = re.compile("[\x00-\x08\x0b-\x1f\r\ufffe\uffff]")
VALUES = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5)


def text_of_cell(text: str) -> str:
    """What XML can hold of a text."""
    return re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "\ufffd", re.sub("\r\n?", "\n", text))


@pytest.mark.filterwarnings("ignore::finetune.console.Notice")
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json"])
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=VALUES)
@example(values=[("a\tb\nc", "d"), ("", "")])
@example(values=[('"a', "b"), ('c"', "d")])
def test_whatever_is_written_is_read_again(name: str, values: list[tuple[str, str]], tmp_path: Path) -> None:
    check_round_trip(name, values, tmp_path)


@pytest.mark.filterwarnings("ignore::finetune.console.Notice")
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=VALUES)
@example(values=[("#REF!", "a\rb\x00"), ("=1+1", "\uffff")])
def test_whatever_is_written_to_a_workbook_is_read_again(values: list[tuple[str, str]], tmp_path: Path) -> None:
    check_round_trip("a.xlsx", values, tmp_path)


def check_round_trip(name: str, values: list[tuple[str, str]], tmp_path: Path) -> None:
    path = tmp_path / f"{next(NUMBERS)}{name}"
    added = [{"prediction": first, "more": second} for first, second in values]
    if name == "a.xlsx":
        book = Workbook()
        for row in [["id", "text"], *([n, "x"] for n in range(len(values)))]:
            book.active.append(row)
        book.save(path)
        added = [{key: text_of_cell(text) for key, text in row.items()} for row in added]
    elif name in ("a.csv", "a.tsv"):
        separator = "\t" if name == "a.tsv" else ","
        path.write_text(f"id{separator}text\n" + "".join(f"{n}{separator}x\n" for n in range(len(values))))
    else:
        rows = [{"id": str(n), "text": "x"} for n in range(len(values))]
        path.write_text(json.dumps(rows) if name == "a.json" else "".join(f"{json.dumps(row)}\n" for row in rows))
    target = written(path, added)
    assert originals(target) == merged(path, added)
    again = originals(written(target, added))[0]
    assert again.keys() == {"id", "text", "prediction", "more", "prediction_2", "more_2"}


@pytest.mark.filterwarnings("ignore::finetune.console.Notice")
def test_predict_writes_beside_the_columns_of_any_format(project: Project) -> None:
    project.write("train.csv", "id;text;label\n1;a fine day;good\n2;a grim day;bad\n")
    config = project.config("text-classification", data={"train": "train.csv", "validation": None, "test": None},
                            train={"max_steps": 1})  # fmt: skip
    project.train(config)
    content = 'id;text\r\n7;"a; b"\r\n8;c\r\n'.encode("utf-8-sig")
    project.write("new.csv.gz", gzip.compress(content))
    assert main(["predict", "runs/config", "new.csv.gz"]) == 0
    lines = io.StringIO(
        gzip.decompress(Path("runs/config/predictions/new.csv.gz").read_bytes()).decode("utf-8"), newline=""
    )
    assert lines.readline() == "\ufeffid;text;prediction;probability;probability_bad;probability_good\r\n"
    assert lines.readline().startswith('7;"a; b";')
    Path("plain").mkdir()
    assert main(["predict", "runs/config", "new.csv.gz", "--output", "plain/out.csv"]) == 0
    assert Path("plain/out.csv").read_bytes().startswith(b"\xef\xbb\xbfid;text;prediction")
    project.write("file", "")
    assert main(["predict", "runs/config", "new.csv.gz", "--output", "file/out.csv"]) == 2
    assert main(["predict", "runs/config", "new.csv.gz", "--output", "out.json"]) == 2
