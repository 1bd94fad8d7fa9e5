"""`data.template`: a text made of several columns, in training, evaluation, prediction and serving."""

import csv
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from conftest import Project, build, needs
from pydantic import TypeAdapter

from finetune.cli import main
from finetune.config.config import Data
from finetune.config.load import load_config
from finetune.console import Notice
from finetune.data.columns import rows_from_objects
from finetune.data.rows import read_rows
from finetune.data.template import columns_in, filled, parts_of
from finetune.dataset import columns_of
from finetune.errors import UserError
from finetune.tasks import make_task
from finetune.tasks.settings import AnyTask

TEMPLATE = "{title} [SEP] {brand}, {price} EUR"
ITEMS = [
    {"title": "red scarf", "brand": "Acme", "price": "12.50", "label": "good"},
    {"title": "grim lamp", "brand": "", "price": "3", "label": "bad"},
    {"title": "oak chair", "brand": "Works", "price": "90", "label": "good"},
    {"title": "dark mug", "brand": "Acme", "price": "4", "label": "bad"},
]
OFF = ("data.validation=null", "data.test=null")


def columns(task: str, template: str = TEMPLATE, *, labelled: bool = True, **data: Any) -> Any:
    return columns_of(
        make_task(TypeAdapter(AnyTask).validate_python({"type": task})),
        Data(train=["x"], template=template, **data),
        labelled,
    )


@pytest.mark.parametrize(
    ("template", "row", "text"),
    [
        (TEMPLATE, ITEMS[0], "red scarf [SEP] Acme, 12.50 EUR"),
        ("{a}{{b}} {a}", {"a": 1}, "1{b} 1"),
        ("{Star Rating} {评论}", {"Star Rating": 4.5, "评论": "好"}, "4.5 好"),
        ("<{a}|{b}|{c}>", {"a": None, "b": float("nan"), "c": ""}, "<||>"),
        ("{a}; {b}; {c}", {"a": ["x", "y"], "b": Decimal("1.50"), "c": False}, "x, y; 1.50; False"),
        ("{1} {0}", {"x": "a", "y": "b"}, "b a"),
        ("{0}", {"x": "a", "0": "b"}, "b"),
    ],
)
def test_a_template_is_filled_with_the_values_of_a_row(template: str, row: dict[str, Any], text: str) -> None:
    assert filled(template, row, "x:1") == text


def test_a_value_is_never_a_template() -> None:
    assert filled("{a}", {"a": "{b} {a.__class__}", "b": "x"}, "x:1") == "{b} {a.__class__}"
    assert columns_in(TEMPLATE) == ["title", "brand", "price"]


@pytest.mark.parametrize(
    "template",
    ["{a.b}", "{a[0]}", "{a!r}", "{a:>9}", "{a:{b}}", "{}", "{ }", "no column", "", "{a", "a}", "{{a}}", "{a}{b.c}"],
)
def test_what_is_no_template(template: str, project: Project, refused: Callable[..., str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        parts_of(template)
    config = project.config("text-classification", data={"template": template})
    assert "data.template is " in refused("train", config)


@pytest.mark.parametrize(
    ("task", "overrides", "sentence"),
    [
        ("token-classification", [], "token-classification reads tokens, which are no text"),
        ("chat", [], "chat reads messages, which are no text"),
        ("regression", ["data.columns={text: title}"], "data.columns names a column for the text, which it makes"),
    ],
)
def test_where_no_text_is_made(
    task: str, overrides: list[str], sentence: str, project: Project, refused: Callable[..., str]
) -> None:
    message = refused("train", project.config(task, data={"template": TEMPLATE}), *overrides)
    assert f"data.template is set, but {sentence}" in message


@pytest.mark.parametrize(
    ("task", "others", "values"),
    [
        ("text-classification", {"label": "a"}, {"text": "x y", "label": "a"}),
        ("text-classification", {"text": "old", "label": "a"}, {"text": "x y", "label": "a"}),
        ("text-classification", {"text_pair": "p", "label": "a"}, {"text": "x y", "text_pair": "p", "label": "a"}),
        ("multi-label-classification", {"labels": []}, {"text": "x y", "labels": []}),
        ("regression", {"label": 1}, {"text": "x y", "label": 1}),
        ("ranking", {"document": "d", "label": 1}, {"query": "x y", "document": "d", "label": 1}),
        ("translation", {"target": "t"}, {"source": "x y", "target": "t"}),
        ("text-generation", {"completion": "c"}, {"prompt": "x y", "completion": "c"}),
        ("text-generation", {}, {"text": "x y"}),
    ],
)
def test_it_makes_the_first_column_of_a_task(
    task: str, others: dict[str, Any], values: dict[str, Any], project: Project
) -> None:
    row = {"a": "x", "b": "y", **others}
    [read] = read_rows(project.write("x.jsonl", json.dumps(row)), columns(task, "{a} {b}"))
    assert read.values == values
    assert read.original == row


def test_its_columns_are_no_labels(project: Project) -> None:
    path = project.write("x.jsonl", json.dumps({"title": "a", "category": "b", "stars": 5}))
    with pytest.warns(Notice, match="column 'stars' is read as label: set data.columns: {label: stars}"):
        [row] = read_rows(path, columns("text-classification", "{title} {category}"))
    assert row.values == {"text": "a b", "label": 5}


def test_a_file_without_its_columns(project: Project) -> None:
    path = project.write("x.csv", "title,label\na,b\n")
    with pytest.raises(UserError, match=r":2: no column 'brand', which data\.template names \(found: title, label\)"):
        read_rows(path, columns("text-classification"))
    with pytest.raises(UserError, match=r"rows\[0\]: no column 'title', which data\.template names \(found: text\)"):
        rows_from_objects([{"text": "a"}], columns("text-classification", labelled=False))


def test_a_text_that_is_empty_is_refused(project: Project) -> None:
    path = project.write("x.jsonl", '{"a": null, "b": "", "label": "c"}\n')
    overrides = [f"data.train={path.name}", "data.template='{a}{b}'", *OFF]
    with pytest.raises(UserError, match=r"^x\.jsonl:1: text is empty"):
        build(load_config(project.config("text-classification"), overrides))


@needs("export")
def test_from_training_to_prediction(project: Project) -> None:
    with Path("items.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*ITEMS[0]])
        writer.writeheader()
        writer.writerows(ITEMS)
    files = dict.fromkeys(("train", "validation", "test"), "items.csv")
    config = project.config("text-classification", data={**files, "template": TEMPLATE})
    assert [one.text for one in build(load_config(config)).train.examples] == [
        "red scarf [SEP] Acme, 12.50 EUR",
        "grim lamp [SEP] , 3 EUR",
        "oak chair [SEP] Works, 90 EUR",
        "dark mug [SEP] Acme, 4 EUR",
    ]
    assert main(["train", str(config)]) == 0
    assert main(["evaluate", "runs/config", "--data", "items.csv", "--split", "test"]) == 0
    project.write("new.csv", "id,price,brand,title\n7,5,Acme,mug\n")
    assert main(["predict", "runs/config", "new.csv"]) == 0
    [row] = csv.DictReader(Path("runs/config/predictions/new.csv").read_text().splitlines())
    assert [*row.items()][:4] == [("id", "7"), ("price", "5"), ("brand", "Acme"), ("title", "mug")]
    assert "text" not in row
    assert main(["export", "runs/config", "out"]) == 0
    card = Path("out/README.md").read_text()
    assert f"\n- Each text of the training was made of several columns by `{TEMPLATE}`: make" in card
    assert "way.\n- The metrics below" in card
