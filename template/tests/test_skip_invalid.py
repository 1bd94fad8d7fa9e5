"""Rows that a task cannot read: an error with their place, or left out, counted and named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Project, build, needs
from pyarrow import Table
from pyarrow.parquet import write_table

from finetune.cli import main
from finetune.config.load import load_config
from finetune.console import Notice
from finetune.errors import UserError

OFF = ("data.validation=null", "data.test=null")
BAD: dict[str, list[dict[str, Any]]] = {
    "text-classification": [
        {"text": "", "label": "good"},
        {"text": "no label"},
        {"text": "null", "label": None},
        {"text": "nan", "label": "nan"},
        {"text": "a list", "label": ["good"]},
        {"text": 7, "label": "good"},
    ],
    "multi-label-classification": [{"text": " ", "labels": []}, {"text": "null", "labels": None}],
    "regression": [{"text": "word", "label": "four"}, {"text": "", "label": 1.0}, {"text": "none"}],
    "token-classification": [{"tokens": ["a", "b"], "tags": ["O"]}, {"tokens": ["a"], "tags": [[]]}],
    "ranking": [{"query": "q", "document": "d", "label": -1}, {"query": "", "document": "d", "label": 1}],
    "text-generation": [{"prompt": "p", "completion": None}],
    "chat": [{"messages": []}, {"messages": "hello"}],
    "translation": [{"source": "s", "target": ""}],
    "summarization": [{"source": " ", "target": "t"}],
}
"""Rows that each task cannot read."""
GOOD = {"token-classification": {"tokens": ["Ada", "ran"], "tags": ["B-PER", "O"]}}


def mixed(task: str, project: Project) -> tuple[Path, int]:
    """A file in which invalid rows stand between the good ones of a task, and how many good ones there are."""
    config = load_config(project.config(task))
    source = Path(config.data.train[0])
    good = [GOOD[task]] * 2 if source.suffix == ".conll" else [*map(json.loads, source.read_text().splitlines())]
    rows = [*BAD[task][:1], *good, *BAD[task][1:]]
    return project.write("mixed.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows)), len(good)


@pytest.mark.parametrize("task", BAD)
def test_invalid_rows_are_an_error_or_left_out(task: str, project: Project) -> None:
    path, good = mixed(task, project)
    config = project.config(task)
    with pytest.raises(UserError, match=r"^mixed\.jsonl:\d+: "):
        build(load_config(config, ["data.train=mixed.jsonl", *OFF]))
    with pytest.warns(Notice) as said:
        setup = build(load_config(config, ["data.train=mixed.jsonl", "data.skip_invalid=true", *OFF]))
    rows = [row for example in setup.train.examples for row in setup.task.to_rows(example)]
    assert len(rows) == good
    left_out = "1 invalid row" if len(BAD[task]) == 1 else f"{len(BAD[task])} invalid rows"
    [notice] = [str(one.message) for one in said]
    assert notice.startswith(f"{path.name}: {left_out} left out, as data.skip_invalid is true: mixed.jsonl:1")
    assert (", ... (" in notice) == (len(BAD[task]) > 3)


def test_the_notice_has_three_places_and_a_reason(project: Project) -> None:
    mixed("text-classification", project)
    overrides = ["data.train=mixed.jsonl", "data.skip_invalid=true", *OFF]
    with pytest.warns(Notice) as said:
        build(load_config(project.config("text-classification"), overrides))
    assert [str(one.message) for one in said] == [
        "mixed.jsonl: 6 invalid rows left out, as data.skip_invalid is true: mixed.jsonl:1, mixed.jsonl:12, "
        "mixed.jsonl:13, ... (the first: text is empty: fill it in, or take the row out)"
    ]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("x.jsonl", '{"text": "", "label": "a"}\n{"text": "b"}\n', "x.jsonl:1: text is empty"),
        ("x.csv", "text,label\n,a\nb,\n", "x.csv:2: text is empty"),
        ("x.csv", "title,mood\na,b\n", "x.csv:1: no column 'text'"),
        ("x.csv", 'text,label\na,b\n"c,d\n', "x.csv:3: this is not a row of .csv"),
        ("x.csv", 'text,label\na,b\n"c,d\ne,f\n",g,h\ni,j\n', "x.csv:3: 3 columns where the first line has 2"),
        ("x.json", '[{"text": "a", "label": "b"}, {"text": ]', "x.json:1: this is not JSON"),
        ("x.json", '{"n": [NaN], "data": [{"text": "a", "label": "b"}]}', "x.json:1: NaN is no value of JSON"),
        ("x.jsonl", '{"text": \n{"text"\n', "x.jsonl:1: this is not JSON"),
    ],
)
def test_what_is_never_left_out(
    name: str, content: str, sentence: str, project: Project, refused: Callable[..., str]
) -> None:
    """A file without a valid row or without the columns, and a file that is damaged."""
    project.write(name, content)
    config = project.config("text-classification")
    assert refused("train", config, f"data.train={name}", "data.skip_invalid=true").startswith(sentence)


LINE = '{"text": "%s", "label": "%s"}'
A, B = LINE % ("a", "good"), LINE % ("b", "bad")
BROKEN = {  # a file whose rows a and b can be read, the places of the others, and what is wrong with the first of these
    "nan.jsonl": (
        [A, '{"text": "n", "label": NaN}', B, '{"text": "n", "label": -Infinity}'],
        "nan.jsonl:2 nan.jsonl:4",
        "NaN is no value of JSON: write null where a value is missing",
    ),
    "no.jsonl": (["{}}", A, "oops", B], "no.jsonl:1 no.jsonl:3", "this is not JSON (Extra data"),
    "twice.jsonl": ([A, '{"text": "1", "text": "2"}', B], "twice.jsonl:2", "two members"),
    "few.csv": (["text,label", "n", "a,good", "b,bad"], "few.csv:2", "1 column where the first line has 2"),
    "many.tsv": (
        ["text\tlabel", "a\tgood", "n\tgood\tx", "b\tbad", "n\ty\tz"],
        "many.tsv:3 many.tsv:5",
        "3 columns where the first line has 2",
    ),
    "list.json": (
        ["[", '{"text": "n", "label": [NaN, 1e999]},', f"{A}, {B},", '{"text": "\\ud800"}]'],
        "list.json:2 list.json:4",
        "NaN is no value of JSON (example 1)",
    ),
    "within.json": (
        ['{"data": [', f"{'{'}{' ' * 2**18}{'9' * 400!r}: {'9' * 5000}{'}'},".replace("'", '"'), f"{A},",
         f'{B}], "n": 1}}'],
        "within.json:2",
        "a number has more than 308 digits (example 1)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_rows_that_cannot_be_read_are_an_error_or_left_out(
    name: str, project: Project, refused: Callable[..., str]
) -> None:
    lines, places, reason = BROKEN[name]
    project.write(name, "\n".join(lines))
    config, overrides = project.config("text-classification"), [f"data.train={name}", "data.path=data", *OFF]
    first, *_ = places.split()
    assert refused("train", config, *overrides).startswith(f"{first}: {reason}")
    with pytest.warns(Notice) as said:
        setup = build(load_config(config, [*overrides, "data.skip_invalid=true"]))
    assert [example.text for example in setup.train.examples] == ["a", "b"]
    told = str(said[-1].message)
    count = len(places.split())
    assert f"{name}: {count} invalid row{'s' * (count > 1)} left out" in told
    assert f"{', '.join(places.split())} (the first: {reason}" in told


@needs("check_data")
@pytest.mark.parametrize("name", BROKEN)
def test_check_data_reports_all_that_cannot_be_read(name: str, project: Project) -> None:
    from finetune.check_data.check import check_data

    lines, places, _ = BROKEN[name]
    project.write(name, "\n".join([*lines[:-1], *([] if name.endswith(".json") else [lines[2]] * 3), lines[-1]]))
    overrides = [f"data.train={name}", "data.path=data", *OFF]
    found = check_data(load_config(project.config("text-classification"), overrides))
    [finding] = [one for one in found["findings"] if one["kind"] == "invalid"]
    assert finding["count"] == len(places.split()) + 3 * (name in ("no.jsonl", "many.tsv"))


def test_columns_are_found_by_the_first_row_that_can_be_read(project: Project) -> None:
    project.write("x.jsonl", 'oops\n{"review": "a", "stars": "good"}\n{"review": "b", "stars": "bad"}\n')
    overrides = ["data.train=x.jsonl", "data.skip_invalid=true", *OFF]
    with pytest.warns(Notice) as said:
        setup = build(load_config(project.config("text-classification"), overrides))
    assert "columns 'review' and 'stars' are read as text and label" in str(said[0].message)
    assert [example.text for example in setup.train.examples] == ["a", "b"]


@pytest.mark.parametrize("line", [1, 3, 30])
def test_a_sentence_of_rows_needs_all_of_them(line: int, project: Project, refused: Callable[..., str]) -> None:
    rows = [f"{number // 5},w{number},O" for number in range(60)]
    rows.insert(line, "0,w,O,x")
    project.write("x.csv", "\n".join(["sentence,tokens,tags", *rows]))
    config = project.config("token-classification")
    told = refused("train", config, "data.train=x.csv", "data.skip_invalid=true", *OFF)
    assert told.startswith(f"x.csv:{line + 2}: 4 columns where the first line has 3")


def test_a_label_that_is_unknown_is_an_error(project: Project, refused: Callable[..., str]) -> None:
    project.write("other.jsonl", '{"text": "a", "label": "godo"}\n{"text": "b", "label": "good"}\n')
    config = project.config("text-classification")
    assert "label 'godo' does not occur" in refused(
        "train", config, "data.validation=other.jsonl", "data.skip_invalid=true"
    )


def test_rows_of_a_table_of_arrow(project: Project) -> None:
    rows = [{"text": text, "label": label} for text, label in
            (("fine", "good"), (None, "good"), ("grim", "bad"), ("so so", None))]  # fmt: skip
    write_table(Table.from_pylist(rows), "x.parquet")
    overrides = ["data.train=x.parquet", "data.skip_invalid=true", *OFF]
    with pytest.warns(Notice, match=r"2 invalid rows left out, .*: x\.parquet: row 2, x\.parquet: row 4 \("):
        setup = build(load_config(project.config("text-classification"), overrides))
    assert [example.text for example in setup.train.examples] == ["fine", "grim"]


def test_an_evaluation_leaves_them_out_as_well(
    project: Project, finished: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    finished("text-classification")
    assert (
        main(["train", str(project.config("text-classification")), "data.skip_invalid=true", "run.name=lenient"]) == 0
    )
    project.write("x.jsonl", '{"text": "", "label": "good"}\n{"text": "fine", "label": "good"}\n')
    capsys.readouterr()
    assert main(["evaluate", "runs/lenient", "--data", "x.jsonl", "--split", "test"]) == 0
    assert "x.jsonl: 1 invalid row left out" in capsys.readouterr().err
    assert json.loads(Path("runs/lenient/evaluation-test.json").read_text())["examples"] == 1
    assert main(["evaluate", "runs/config", "--data", "x.jsonl", "--split", "test"]) == 2


@needs("check_data")
@pytest.mark.parametrize("skip", [False, True])
def test_check_data_reports_all_at_once(skip: bool, project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    mixed("text-classification", project)
    config = str(project.config("text-classification"))
    arguments = [config, "data.train=mixed.jsonl", f"data.skip_invalid={str(skip).lower()}"]
    assert main(["check-data", *arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    [finding] = [one for one in document["findings"] if one["kind"] == "invalid"]
    assert (finding["severity"], finding["split"]) == ("warning" if skip else "alarm", "train")
    assert finding["count"] == 6
    assert [place.split(": ")[0] for place in finding["places"]] == [
        f"mixed.jsonl:{line}" for line in (1, 12, 13, 14, 15, 16)
    ]
    assert finding["places"][0].startswith("mixed.jsonl:1: text is empty")
    assert skip or "data.skip_invalid: true" in finding["remedy"]
    assert document["splits"]["train"]["rows"] == 10
    assert main(["check-data", *arguments, "--strict"]) == 1
    assert "6 rows of train cannot be read" in capsys.readouterr().out


@needs("check_data")
def test_check_data_of_invalid_rows_alone_refuses_them(project: Project, refused: Callable[..., str]) -> None:
    project.write("x.jsonl", '{"text": "", "label": "a"}\n{"text": "b"}\n')
    config = project.config("text-classification")
    assert refused("check-data", config, "data.train=x.jsonl").startswith("x.jsonl:1: text is empty")


def test_every_start_tells_how_many_were_left_out(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """Also one that maps what an earlier start has read and tokenized."""
    mixed("text-classification", project)
    config = project.config("text-classification", train={"max_steps": 1})
    for _ in range(2):
        assert main(["train", str(config), "data.train=mixed.jsonl", "data.skip_invalid=true", *OFF]) == 0
        assert f"({len(BAD['text-classification'])} invalid rows left out)" in capsys.readouterr().out
