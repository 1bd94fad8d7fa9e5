"""Data files: every format reads the same, and every fault names its file, line and remedy."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Project
from pyarrow import Table
from pyarrow.parquet import write_table

from finetune.data.rows import Columns, read_rows
from finetune.errors import UserError

ROWS = [{"text": 'say "hi", twice', "label": "a"}, {"text": "naïve café 你好", "label": "b"}]
COLUMNS = Columns(("text", "label"), ("text_pair",))


def parquet(path: Path, rows: list[dict[str, object]]) -> Path:
    write_table(Table.from_pylist(rows), path)
    return path


def test_every_format_reads_the_same(project: Project) -> None:
    files = [
        project.write("a.jsonl", "".join(f"{json.dumps(row)}\n\n" for row in ROWS)),
        project.write("a.json", json.dumps(ROWS, indent=2)),
        project.write("a.csv", 'text,label\n"say ""hi"", twice",a\nnaïve café 你好,b\n'),
        project.write("a.tsv", 'text\tlabel\nsay "hi", twice\ta\nnaïve café 你好\tb\n'),
        parquet(project.folder / "a.parquet", ROWS),
    ]
    for path in files:
        assert [row.values for row in read_rows(path, COLUMNS)] == ROWS, path


def test_byte_order_mark_and_windows_lines_do_no_harm(project: Project) -> None:
    path = project.write("a.csv", b"\xef\xbb\xbftext,label\r\nhello,a\r\n")
    assert read_rows(path, COLUMNS)[0].values == {"text": "hello", "label": "a"}


def test_places_are_lines_of_the_file(project: Project) -> None:
    jsonl = project.write("a.jsonl", f"\n{json.dumps(ROWS[0])}\n\n{json.dumps(ROWS[1])}\n")
    listed = project.write("a.json", f"[\n\n{json.dumps(ROWS[0])},\n{json.dumps(ROWS[1])}]")
    table = project.write("a.csv", 'text,label\n"two\nlines",a\nlater,b\n')
    words = project.write("a.conll", "-DOCSTART- O\n\nHe O\nran O\n\nShe O\n")
    assert [row.place for row in read_rows(jsonl, COLUMNS)] == ["%s:2" % jsonl, "%s:4" % jsonl]  # noqa: UP031
    assert [row.place.rsplit(":")[-1] for row in read_rows(listed, COLUMNS)] == ["3", "4"]
    assert [row.place.rsplit(":")[-1] for row in read_rows(table, COLUMNS)] == ["2", "4"]
    assert [row.place.rsplit(":")[-1] for row in read_rows(words, Columns(("tokens", "tags")))] == ["3", "6"]


def test_columns_by_name_and_by_number(project: Project) -> None:
    named = project.write("a.csv", "sentence,id,mood\nhello,7,a\n")
    renamed = Columns(("text", "label"), renamed={"text": "sentence", "label": 2})
    assert read_rows(named, renamed)[0].values == {"text": "hello", "label": "a"}
    bare = project.write("b.tsv", "7\thello\ta\n")
    counted = Columns(("text", "label"), renamed={"text": 1, "label": 2}, header=False)
    assert read_rows(bare, counted)[0].values == {"text": "hello", "label": "a"}
    plain = project.write("c.tsv", "hello\ta\n")
    assert read_rows(plain, Columns(("text", "label"), ("text_pair",), header=False))[0].values == {
        "text": "hello",
        "label": "a",
    }


def test_conll_takes_the_first_and_the_last_column(project: Project) -> None:
    path = project.write("a.conll", "EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n")
    row = read_rows(path, Columns(("tokens", "tags")))[0]
    assert row.values == {"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"]}
    chunks = read_rows(path, Columns(("tokens", "tags"), renamed={"tags": 2}))[0]
    assert chunks.values["tags"] == ["B-NP", "B-VP"]


JSONL, CONLL = "text-classification", "token-classification"
BAD_FILES: dict[str, tuple[str, str, str | bytes, str]] = {
    "no JSON": (JSONL, "x.jsonl", '{"text": "a", "label": "good"}\n{"text": \n', "x.jsonl:2: this is not JSON"),
    "no object": (JSONL, "x.jsonl", "[1, 2]\n", "x.jsonl:1: [1, 2] is not an example: write an object"),
    "missing column": (JSONL, "x.jsonl", '{"text": "a"}\n', "x.jsonl:1: no value in column 'label'"),
    "empty text": (JSONL, "x.jsonl", '{"text": " ", "label": "good"}\n', "x.jsonl:1: text is empty"),
    "text that is a number": (JSONL, "x.jsonl", '{"text": 5, "label": "good"}\n', "x.jsonl:1: text is 5"),
    "label that is a list": (JSONL, "x.jsonl", '{"text": "a", "label": [["b"]]}\n', "x.jsonl:1: the label is [['b']]"),
    "unknown label": (
        JSONL,
        "x.jsonl",
        '{"text": "a", "label": "good"}\n{"text": "a", "label": "godo"}\n',
        "x.jsonl:2: label 'godo' does not occur in the training data (bad, good)",
    ),
    "empty file": (JSONL, "x.jsonl", "\n\n", "x.jsonl:1: the file holds no examples"),
    "wrong encoding": (
        JSONL,
        "x.jsonl",
        b'{"text": "a", "label": "good"}\n{"text": "caf\xe9"}\n',
        "x.jsonl:2: byte 0xe9",
    ),
    "unknown format": (JSONL, "x.docx", "a", "x.docx: unknown format '.docx': use one of .jsonl"),
    "no list": (JSONL, "x.json", '{"text": "a"}', "x.json:1: a .json file holds a list"),
    "no header": (JSONL, "x.csv", "hello,good\n", "x.csv:1: no column 'text' (found: hello, good)"),
    "ragged csv": (JSONL, "x.csv", "text,label\nhello,good\na,b,c\n", "x.csv:3: 3 columns where the first line has 2"),
    "open quote": (JSONL, "x.csv", 'text,label\n"hello,good\n', "x.csv:2: this is not a row of .csv"),
    "no parquet": (JSONL, "x.parquet", "hello", "x.parquet: cannot be read as parquet"),
    "ragged conll": (CONLL, "x.conll", "He O\nran\n", "x.conll:2: 1 column where the lines before have 2"),
    "no tag": (CONLL, "x.conll", "He O\nran NOUN\n", "x.conll:1: 'NOUN' is not a tag: write O, or B- and I-"),
    "unknown entity": (CONLL, "x.conll", "He O\n\nAda B-PRS\n", "x.conll:3: entity type 'PRS' does not occur"),
    "no tags": (CONLL, "x.conll", "He\nran\n", "x.conll:1: no value in column 'tags'"),
    "too few tags": (CONLL, "x.jsonl", '{"tokens": ["a", "b"], "tags": ["O"]}', "x.jsonl:1: 2 tokens but 1 tag:"),
    "words that are no strings": (
        CONLL,
        "x.jsonl",
        '{"tokens": [1], "tags": ["O"]}',
        "x.jsonl:1: tokens must be a list",
    ),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_data_is_refused(kind: str, project: Project, refused: Callable[..., str]) -> None:
    task, name, text, sentence = BAD_FILES[kind]
    project.write(name, text)
    message = refused("train", project.config(task), f"data.validation={name}")
    assert sentence in message
    assert not list(project.folder.glob("runs/*/config.json")), "nothing may be half-written"


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_split_is_looked_at_before_training(split: str, project: Project, refused: Callable[..., str]) -> None:
    project.write("x.jsonl", "{}\n")
    assert "x.jsonl:1" in refused("train", project.config(JSONL), f"data.{split}=x.jsonl")
    assert "there is no such file" in refused("train", project.config(JSONL), f"data.{split}=nowhere.jsonl")


def test_training_data_without_contrast_is_refused(project: Project, refused: Callable[..., str]) -> None:
    project.write("x.jsonl", '{"text": "a", "label": "good"}\n')
    assert "every label is 'good'" in refused("train", project.config(JSONL), "data.train=x.jsonl")
    project.write("x.conll", "He O\n")
    assert "every tag is O" in refused("train", project.config(CONLL), "data.train=x.conll")


def test_column_that_the_task_does_not_have(project: Project, refused: Callable[..., str]) -> None:
    message = refused("train", project.config(JSONL), "data.columns={txt: a}")
    assert "the task has no column 'txt': its columns are text, text_pair, label" in message


def test_sentence_of_an_error_names_the_remedy(project: Project) -> None:
    with pytest.raises(UserError, match=r"add columns: \{text: hello, label: good\} .*, or set data\.header to false"):
        read_rows(project.write("a.csv", "hello,good\n"), COLUMNS)


def test_cells_keep_their_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    path.write_bytes(b'text,label\r\n"one\r\ntwo\nthree",a\r\n')
    [row] = read_rows(path, Columns(("text", "label")))
    assert row.values == {"text": "one\r\ntwo\nthree", "label": "a"}


def test_rows_of_a_parquet_file_are_counted_from_1(tmp_path: Path) -> None:
    write_table(Table.from_pylist([{"text": "a"}, {"text": "b"}]), tmp_path / "x.parquet")
    places = [row.place for row in read_rows(tmp_path / "x.parquet", Columns(("text",)))]
    assert [place.rsplit(" ", 1)[-1].rsplit(":", 1)[-1] for place in places] == ["1", "2"]
