"""Columns of a file: by their own names, by usual names that have one sense only, or a sentence that says how."""

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Project
from pyarrow import Table
from pyarrow.parquet import write_table
from pydantic import TypeAdapter

from finetune.config.config import Data
from finetune.console import Notice
from finetune.data.columns import Columns, rows_from_objects
from finetune.data.rows import read_rows
from finetune.dataset import columns_of
from finetune.errors import UserError
from finetune.tasks import make_task
from finetune.tasks.settings import AnyTask

KEYS = [
    ("text-classification", ["id", "review", "stars"], {"text": "review", "label": "stars"}),
    ("text-classification", ["Sentence", "label"], {"text": "Sentence"}),
    ("text-classification", ["text", "category", "date"], {"label": "category"}),
    ("text-classification", ["label", "评论内容"], {"text": "评论内容"}),
    ("text-classification", ["内容", "情感"], {"text": "内容", "label": "情感"}),
    ("text-classification", ["review_body", "Star Rating", "asin"], {"text": "review_body", "label": "Star Rating"}),
    ("text-classification", ["premise", "hypothesis", "label"], {"text": "premise", "text_pair": "hypothesis"}),
    ("text-classification", ["question", "answer", "y"], {"text": "question", "text_pair": "answer", "label": "y"}),
    ("regression", ["comment", "score"], {"text": "comment", "label": "score"}),
    ("multi-label-classification", ["tweet", "emotions"], {"text": "tweet", "labels": "emotions"}),
    ("token-classification", ["id", "words", "ner_tags"], {"tokens": "words", "tags": "ner_tags"}),
    ("token-classification", ["text", "spans"], {"entities": "spans"}),
    ("text-generation", ["src", "tgt"], {"prompt": "src", "completion": "tgt"}),
    ("text-generation", ["content", "id"], {"text": "content"}),
    ("summarization", ["article", "highlights", "id"], {"source": "article", "target": "highlights"}),
    ("translation", ["src", "tgt"], {"source": "src", "target": "tgt"}),
    ("ranking", ["query", "passage", "relevance"], {"document": "passage", "label": "relevance"}),
    (
        "retrieval",
        ["anchor", "positive", "negative"],
        {"query": "anchor", "document": "positive", "negatives": "negative"},
    ),
    ("retrieval", ["query", "pos", "neg"], {"document": "pos", "negatives": "neg"}),
]
"""Columns of a file, and what is found among them."""
UNCLEAR = [
    ("text-classification", ["a", "b"]),
    ("text-classification", ["title", "body_text", "label"]),
    ("text-classification", ["text", "rating", "category"]),
    ("text-classification", ["question", "answer", "comment", "label"]),
    ("token-classification", ["tokens", "pos_tags", "ner_tags"]),
    ("summarization", ["article", "document", "summary"]),
    ("text-generation", ["title", "content"]),
]
"""Columns of a file that could be read in more ways than one, or in none."""


def columns(task: str, *, labelled: bool = True, **data: Any) -> Columns:
    return columns_of(
        make_task(TypeAdapter(AnyTask).validate_python({"type": task})), Data(train=["x"], **data), labelled
    )


@pytest.mark.parametrize(("task", "names", "found"), KEYS)
def test_usual_names_are_found_and_said(task: str, names: list[str], found: dict[str, str], project: Project) -> None:
    cells = {name: name for name in names}
    path = project.write("x.jsonl", json.dumps(cells) + "\n")
    with pytest.warns(Notice) as said:
        [row] = read_rows(path, columns(task))
    assert {name: row.values[name] for name in found} == found
    assert row.original == cells
    [notice] = [str(one.message) for one in said]
    assert notice.startswith(f"{path}: column")
    key = notice[notice.index("{") : notice.rindex("}") + 1]
    assert yaml.safe_load(key) == found, "the key that it says reads the same"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        [same] = read_rows(path, columns(task, columns=yaml.safe_load(key)))
    assert same.values == row.values


@pytest.mark.parametrize(("task", "names"), UNCLEAR)
def test_what_is_unclear_is_refused_with_the_line_to_add(task: str, names: list[str], project: Project) -> None:
    path = project.write("x.jsonl", json.dumps({name: name for name in names}) + "\n")
    with pytest.raises(UserError, match=r"x\.jsonl:1: no value in column") as error:
        read_rows(path, columns(task))
    sentence = str(error.value)
    assert f"(found: {', '.join(names)})" in sentence
    line = sentence[sentence.index("columns: {") : sentence.rindex("}") + 1]
    [row] = read_rows(path, columns(task, **yaml.safe_load(line)))
    assert set(columns(task).required) <= {*row.values}


def test_each_format_finds_them(project: Project) -> None:
    rows = [{"id": "1", "review": "fine", "stars": "5"}]
    write_table(Table.from_pylist(rows), project.folder / "x.parquet")
    paths = [
        project.write("x.csv", "id,review,stars\n1,fine,5\n"),
        project.write("x.tsv", "id\treview\tstars\n1\tfine\t5\n"),
        project.write("x.json", json.dumps(rows)),
        project.folder / "x.parquet",
    ]
    for path in paths:
        with pytest.warns(Notice, match="columns 'review' and 'stars' are read as text and label"):
            assert read_rows(path, columns("text-classification"))[0].values == {"text": "fine", "label": "5"}


def test_decided_once_by_the_first_row(project: Project) -> None:
    path = project.write("x.jsonl", '{"review": "a", "label": "b"}\n{"text": "c", "label": "d"}\n')
    with (
        pytest.warns(Notice, match="'review' is read as text"),
        pytest.raises(UserError, match=r":2: no value in column 'review' \(found: text, label\)"),
    ):
        read_rows(path, columns("text-classification"))


def test_a_file_to_predict_may_have_other_names_than_the_training_file(project: Project) -> None:
    path = project.write("x.csv", "sentence,rating,category\nfine,4,a\n")
    with pytest.warns(Notice, match="column 'sentence' is read as text: set data.columns: {text: sentence}"):
        [row] = read_rows(path, columns("text-classification", labelled=False))
    assert row.values == {"text": "fine"}
    with pytest.warns(Notice, match=r"rows\[0\]: column 'review' is read as text"):
        rows_from_objects([{"review": "fine"}], columns("text-classification", labelled=False))


def test_a_model_of_pairs_takes_a_pair_and_one_of_texts_a_text(project: Project) -> None:
    path = project.write("x.csv", "question,answer\na,b\n")
    settings = columns("text-classification", labelled=False)
    paired = replace(settings, trained=("text_pair",))
    with pytest.warns(Notice, match="'question' and 'answer' are read as text and text_pair"):
        assert read_rows(path, paired)[0].values == {"text": "a", "text_pair": "b"}
    single = replace(settings, trained=())
    with pytest.warns(Notice, match="'question' is read as text"):
        assert read_rows(path, single)[0].values == {"text": "a"}


@pytest.mark.parametrize(
    ("renamed", "sentence"),
    [
        ({"text": "reviw"}, "x.csv:1: no column 'reviw' (found: id, review, stars): correct data.columns.text "
                            "(did you mean 'review'?)"),
        ({"text": 7}, "x.csv:1: no column '7' (found: id, review, stars): correct data.columns.text"),
        ({"text": "review", "text_pair": "revieww", "label": "stars"},
         "x.csv:2: no column 'revieww' (found: id, review, stars): add it, or correct data.columns.text_pair "
         "(did you mean 'review'?)"),
    ],
)  # fmt: skip
def test_a_name_in_the_config_that_the_file_lacks(
    renamed: dict[str, Any], sentence: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.folder)
    project.write("x.csv", "id,review,stars\n1,fine,5\n")
    with pytest.raises(UserError) as error:
        read_rows(Path("x.csv"), columns("text-classification", columns=renamed))
    assert str(error.value).startswith(sentence)


def test_one_column_is_not_taken_for_two(project: Project) -> None:
    path = project.write("x.csv", "sentences and moods\nfine good\n")
    with pytest.raises(UserError, match=r"no column 'text' \(found: sentences and moods\): name the right column in"):
        read_rows(path, columns("text-classification"))


def test_a_table_without_header_is_read_by_position(project: Project) -> None:
    path = project.write("x.csv", "review,stars\n")
    [row] = read_rows(path, columns("text-classification", header=False, columns={"text": 0, "label": 1}))
    assert row.values == {"text": "review", "label": "stars"}


@pytest.mark.parametrize(("value", "shown"), [("-1", "-1"), ("true", "true")])
def test_a_column_is_a_name_or_a_position(
    value: str, shown: str, project: Project, refused: Callable[..., str]
) -> None:
    message = refused("train", project.config("text-classification"), f"data.columns={{label: {value}}}")
    assert f"columns.label is {shown}: write the name of a column" in message


@pytest.mark.parametrize(
    "line",
    ['{"text": "a", "label": null}', '{"text": "a", "label": "NaN"}', '{"text": "a"}'],
)
def test_a_label_that_is_not_a_number_is_missing(line: str, project: Project) -> None:
    path = project.write("x.jsonl", '{"text": "b", "label": "c"}\n' + line + "\n")
    with pytest.raises(UserError, match=r"x\.jsonl:2: no value in column 'label'"):
        read_rows(path, columns("text-classification"))


def test_a_missing_number_of_a_parquet_file_is_missing(project: Project) -> None:
    path = project.folder / "x.parquet"
    write_table(Table.from_pylist([{"text": "a", "label": 1.0}, {"text": "b", "label": float("nan")}]), path)
    with pytest.raises(UserError, match=r"row 2: no value in column 'label'"):
        read_rows(path, columns("text-classification"))
    write_table(Table.from_pylist([{"text": "a", "text_pair": float("nan"), "label": "x"}]), path)
    assert read_rows(path, columns("text-classification"))[0].values["text_pair"] is None


def test_the_text_nan_is_a_text(project: Project) -> None:
    path = project.write("x.csv", "text,label\nnan,a\n")
    assert read_rows(path, columns("text-classification"))[0].values["text"] == "nan"
