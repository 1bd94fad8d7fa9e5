"""JSON files: lists, JSON Lines and objects around a list are read as streams, and nothing is lost in silence."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Project

from finetune.console import Notice
from finetune.data.opening import FileOptions
from finetune.data.readers import json as json_reader
from finetune.data.rows import Columns, read_rows
from finetune.errors import UserError

PAIR = ("text", "label")
ONE, TWO = {"text": "a", "label": "b"}, {"text": "c", "label": "d"}
A, B = json.dumps(ONE), json.dumps(TWO)


def read(file: Path, **options: Any) -> list[Any]:
    return [row.original for row in read_rows(file, Columns(PAIR, file=FileOptions(**options)))]


def refusal(file: Path, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        read(file, **options)
    return str(caught.value).replace(str(file), file.name)


LOST = {
    "two lists": (f"[{A}]\n[{B}]", "x.json:2: text behind the end of the list"),
    "text behind the end": (f"[{A}] {B}", "x.json:1: text behind the end of the list"),
    "a missing comma": (f"[{A}\n{B}]", "x.json:2: this is not JSON (, is missing"),
    "two commas": (f"[{A},,{B}]", "x.json:1: this is not JSON (Expecting value"),
    "a trailing comma": (f"[{A},\n{B},\n]", "x.json:3: this is not JSON (a comma before ]"),
    "no end": (f"[{A},\n{B}\n", "x.json:3: this is not JSON (the file ends before ]"),
    "no end of a value": (f'[{A},\n{{"text": "c', "x.json:2: this is not JSON (Unterminated string"),
    "no value": ("[tru]", "x.json:1: this is not JSON (Expecting value"),
    "two values of one name": (f'[{A},\n{{"text": "a", "text": "b"}}]', "x.json:2: two members of an object have"),
    "two lists of one name": (f'{{"data": [{A}], "data": [{B}]}}', "x.json:1: two members of an object have the name"),
    "text behind an object": (f'{{"data": [{A}]}}\n[{B}]', "x.json:2: text behind the end"),
    "a comma behind an object": (f'{{"data": [{A}],}}', "x.json:1: this is not JSON (a comma before }"),
    "NaN": (f'[{A},\n{{"text": "a", "label": NaN}}]', "x.json:2: NaN is no value of JSON (example 2): write null"),
    "infinity": ('[{"text": "a", "label": -Infinity}]', "x.json:1: -Infinity is no value of JSON"),
    "a number that is too large": ('[{"text": "a", "label": 1e999}]', "x.json:1: the number 1e999 is too large"),
    "400 digits": (f'[{{"text": "a", "label": {"9" * 400}}}]', "x.json:1: a number has more than 308 digits"),
    "5000 digits": (f'[{{"text": "a", "label": {"9" * 5000}}}]', "x.json:1: a number has more than 308 digits"),
    "lists without end": ("[" * 100_000, "x.json:1: the JSON is nested too deeply"),
    "objects without end": ('{"a":' * 100_000, "x.json:1: the JSON is nested too deeply"),
    "half a character": ('[{"text": "\\ud83d", "label": "a"}]', "x.json:1: a text holds half of a surrogate pair"),
    "one object": (A, "x.json:1: a .json file holds a list of objects"),
    "a text": ('"a"', "x.json:1: a .json file holds a list of objects"),
    "nothing": (" \n ", "x.json:1: the file holds no examples"),
}  # fmt: skip


@pytest.mark.parametrize("kind", LOST)
@pytest.mark.parametrize("chunk", [3, json_reader.CHUNK])
def test_no_row_is_lost_in_silence(kind: str, chunk: int, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    text, sentence = LOST[kind]
    if chunk < 10 and len(text) > 50_000:
        return
    monkeypatch.setattr(json_reader, "CHUNK", chunk)
    assert sentence in refusal(project.write("x.json", text))


@pytest.mark.parametrize("kind", ["NaN", "400 digits", "half a character", "two values of one name"])
def test_lines_are_as_strict(kind: str, project: Project) -> None:
    text, sentence = LOST[kind]
    lines = text[1:-1].replace("},\n", "}\n")
    expected = sentence.replace("x.json", "x.jsonl").replace(" (example 2)", "")
    assert expected in refusal(project.write("x.jsonl", lines))
    assert "x.jsonl:1: this is not JSON (Extra data" in refusal(project.write("x.jsonl", f"{A} {B}\n"))


def test_lists_and_lines_are_told_apart_by_their_beginning(project: Project) -> None:
    with pytest.warns(Notice, match="read as JSON Lines, which are usually named .jsonl"):
        assert read(project.write("x.json", f"\n{A}\n\n{B}\n")) == [ONE, TWO]
    with pytest.warns(Notice, match="read as a list, which is usually named .json"):
        assert read(project.write("x.jsonl", f"[\n{A},\n{B}]")) == [ONE, TWO]


def test_the_list_of_an_object_is_found_or_named(project: Project) -> None:
    only = project.write("a.json", json.dumps({"version": 1, "of": {"data": [ONE, TWO]}, "tags": ["x"], "none": []}))
    with pytest.warns(Notice, match=r"the list 'of\.data': set data\.path: of\.data to say so"):
        assert read(only) == [ONE, TWO]
    both = project.write("b.json", json.dumps({"train": [ONE], "test": [TWO]}, indent=1))
    assert "there are several lists of examples (train, test): choose one, such as data.path: train" in refusal(both)
    assert read(both, path="test") == [TWO]
    assert "b.json:1: no list 'tset' (found: train, test): correct data.path" in refusal(both, path="tset")
    assert read(project.write("c.json", f"[{A}]"), path="test") == [ONE], "a plain list needs no path"


@pytest.mark.parametrize("chunk", [1, 2, 7, 40])
def test_values_may_be_cut_anywhere(chunk: int, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_reader, "CHUNK", chunk)
    rows = [
        {"text": 'a "b" \\ \u2028 😀', "label": -12.5e-3, "x": [True, None, {"y": []}]},
        {"text": "é", "label": 1234567},
    ]
    for text in (
        json.dumps(rows),
        json.dumps(rows, indent=1, ensure_ascii=False),
        json.dumps({"a": 12345678, "data": rows}),
    ):
        path = project.write("x.json", text)
        with pytest.warns(Notice) if text.startswith("{") else _nothing():
            assert read(path) == rows


class _nothing:
    def __enter__(self) -> None: ...
    def __exit__(self, *_: Any) -> None: ...


class Scanned:
    """A decoder that counts the characters that it is given."""

    def __init__(self) -> None:
        self.count = 0

    def raw_decode(self, text: str, position: int) -> tuple[Any, int]:
        try:
            value, end = json.JSONDecoder().raw_decode(text, position)
        except json.JSONDecodeError:
            self.count += len(text) - position
            raise
        self.count += end - position
        return value, end


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scanned]:
    decoder = Scanned()
    monkeypatch.setattr(json_reader, "_DECODER", decoder)
    monkeypatch.setattr(json_reader, "CHUNK", 64)
    return decoder


@pytest.mark.parametrize("indent", [None, 1])
def test_a_list_is_read_in_linear_time_and_forgotten(indent: int | None, project: Project, scanned: Scanned) -> None:
    """Each value is decoded at most a few times, however large it is, and whatever came before it."""
    counts = []
    for size in (200, 400):
        rows = [{"text": f"text {n}", "label": "a"} for n in range(size)] + [{"text": "x" * 50 * size, "label": "b"}]
        text = json.dumps(rows, indent=indent)
        scanned.count = 0
        assert read(project.write(f"{size}.json", text)) == rows
        counts.append(scanned.count / len(text))
    assert max(counts) < 4
    assert counts[1] < 1.2 * counts[0]


def test_lines_of_values_are_those_of_the_file(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_reader, "CHUNK", 16)
    path = project.write("x.json", json.dumps([{"text": f"text {n}", "label": "a"} for n in range(50)], indent=1))
    rows = read_rows(path, Columns(PAIR))
    assert [row.place.rsplit(":")[-1] for row in rows] == [str(2 + 4 * n) for n in range(50)]
