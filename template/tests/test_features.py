"""Tabular features: other columns of a row, joined to its text before the output layer of every head."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Project, build, needs

from finetune.cli import main
from finetune.config.load import load_config
from finetune.data.rows import Row
from finetune.errors import UserError
from finetune.predict import Predictor
from finetune.run.folder import RunFolder
from finetune.run.saved_model import load_saved_model
from finetune.tasks.tabular import TabularFeatures
from finetune.train import loop as training

KINDS: Any = {"price": "number", "brand": "category"}
JOINED = ("text-classification", "multi-label-classification", "regression", "ranking")
METHODS = ["head", "lora", "adapter", "prefix", "prompt", "ia3", "adalora"]


def rows_of(task: str, count: int = 8) -> list[dict[str, Any]]:
    """Equal texts, whose label is that of the price; some prices and brands are missing."""
    found = []
    for number in range(count):
        price = None if number == 5 else 10.0 * number
        brand = [None, "acme", "acme", "nobody"][number % 4]
        high = number % 2
        text: dict[str, Any] = {"text": f"a thing of some kind {number % 3}"}
        label: dict[str, Any] = {"label": ["low", "high"][high]}
        if task == "multi-label-classification":
            label = {"labels": ["high"] * high}
        elif task == "regression":
            label = {"label": float(number)}
        elif task == "ranking":
            text, label = {"query": f"thing {number // 4}", "document": "a thing"}, {"label": high}
        found.append({**text, **label, "price": price, "brand": brand})
    return found


def config_of(project: Project, task: str, name: str = "config", **sections: dict[str, Any]) -> Path:
    """A config with features, and its data."""
    lines = "".join(f"{json.dumps(row)}\n" for row in rows_of(task))
    project.write("joined.jsonl", lines)
    files = {"train": "joined.jsonl", "validation": "joined.jsonl", "test": None, "features": KINDS}
    loop = {"epochs": 2, "batch_size": 4, "device": "cpu", **sections.pop("train", {})}
    return project.config(task, name, data={**files, **sections.pop("data", {})}, train=loop, **sections)


def row(**values: Any) -> Row:
    return Row("file:3", values, values)


def fitted(*rows: Any) -> TabularFeatures:
    features = TabularFeatures(KINDS)
    features.fit([features.read(row(price=price, brand=brand)) for price, brand in rows])
    return features


def test_numbers_are_standardized_by_the_training_data() -> None:
    features = fitted((1, "a"), (2.0, "a"), ("6", "b"), (None, "b"))
    mean, deviation = 3.0, math.sqrt((4 + 1 + 9) / 3)
    assert features.columns["price"] == {"type": "number", "mean": mean, "deviation": pytest.approx(deviation)}
    assert features.encode(features.read(row(price=10, brand="a")))[0] == pytest.approx(7 / deviation)


@pytest.mark.parametrize("value", [None, "", "  ", math.nan, "nan"])
def test_a_missing_number_is_flagged(value: Any) -> None:
    features = fitted((1, "a"), (2.0, "a"))
    assert math.isnan(features.encode(features.read(row(price=value, brand="a")))[0])
    assert math.isnan(features.encode(features.read(row(brand="a")))[0])


def test_rare_and_missing_categories_are_other() -> None:
    features = fitted((1, "b"), (1, "b"), (1, "a"), (1, "a"), (1, "rare"), (1, None))
    assert features.columns["brand"]["values"] == ["a", "b", None]
    assert features.columns["brand"]["shares"] == pytest.approx([1 / 3] * 3)
    positions = [features.encode(features.read(row(price=1, brand=b)))[1] for b in ("a", "b", "rare", "new", "", None)]
    assert positions == [0, 1, 2, 2, 2, 2]


def test_an_unknown_category_is_the_mean_where_there_is_no_other() -> None:
    features = fitted((1, "a"), (1, "a"), (1, "b"), (1, "b"))
    assert features.encode(features.read(row(price=1, brand="new")))[1] == -1


@pytest.mark.parametrize(
    ("one", "other"),
    [(3, 3.0), (3, "3"), (" a ", "a"), (1, "1.0"), ("2.", 2), (True, "True"), (False, "FALSE"), (True, "true")],
)
def test_values_are_compared_as_labels(one: Any, other: Any) -> None:
    features = TabularFeatures({"brand": "category"})
    assert features.read(row(brand=one)) == features.read(row(brand=other))


@pytest.mark.parametrize("value", [["acme"], {"a": 1}, math.inf])
def test_what_is_no_category_is_one_sentence(value: Any) -> None:
    with pytest.raises(UserError, match=r"^file:3: column 'brand' is .*: write one word or number, for it is a cat"):
        TabularFeatures(KINDS).read(row(price=1, brand=value))


@pytest.mark.parametrize("value", ["cheap", True, [1], "inf", "9" * 400, "--5"])
def test_what_is_no_number_is_one_sentence(value: Any, project: Project, refused: Callable[..., str]) -> None:
    path = config_of(project, "text-classification")
    rows = rows_of("text-classification")
    rows[2]["price"] = value
    project.write("joined.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    told = refused("train", path)
    assert told.startswith(f"joined.jsonl:3: column 'price' is {value!r}"[:60])
    assert told.endswith("write a number, such as 3.5")


def test_a_missing_column_is_one_sentence(project: Project, refused: Callable[..., str]) -> None:
    path = config_of(project, "text-classification", data={"features": {"prise": "number"}})
    assert "joined.jsonl:1: no column 'prise', which data.features names (found: text, label, price" in refused(
        "train", path
    )
    path = config_of(
        project, "text-classification", data={"columns": {"cost": "price"}, "features": {"cost": "number"}}
    )
    project.train(path)
    project.write("new.jsonl", '{"text": "a thing"}\n')
    assert "new.jsonl:1: no column 'price'" in refused("predict", "latest", "new.jsonl")
    assert "the model reads the columns cost beside the text" in refused("predict", "latest", "--text", "a thing")


def test_a_column_without_values_is_refused(project: Project, refused: Callable[..., str]) -> None:
    path = config_of(project, "text-classification")
    rows = [{**row, "price": None} for row in rows_of("text-classification")]
    project.write("joined.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    assert "data.features.price: no row of data.train has a value" in refused("train", path)


@pytest.mark.parametrize(
    ("task", "features", "expected"),
    [
        ("chat", {"price": "number"}, "data.features is set, which chat does not have"),
        (
            "text-classification",
            {"label": "category"},
            "data.features.label is a column of text-classification already",
        ),
    ],
)
def test_what_cannot_be_joined_is_refused(
    task: str, features: Any, expected: str, project: Project, refused: Callable[..., str]
) -> None:
    assert expected in refused("train", project.config(task, data={"features": features}))


def logits(model: Any, setup: training.Setup) -> torch.Tensor:
    batch = setup.batching.make_batch(setup.train.features, range(len(setup.train.features)))
    with torch.no_grad():
        found: torch.Tensor = model.eval()(**batch.inputs).logits
    return found


@pytest.mark.parametrize("task", JOINED)
@pytest.mark.parametrize("method", ["full", *METHODS])
def test_every_method_trains_and_saves_what_joins_them(method: str, task: str, project: Project) -> None:
    """The saved model computes the same to the bit, and other features change its logits."""
    if task not in ("text-classification", "ranking") and method not in ("full", "lora"):
        pytest.skip("the head is the same")
    path = config_of(project, task, method={"type": method}, optim={"lr": 0.05})
    setup = build(load_config(path))
    before = logits(setup.model, setup)
    project.train(path)
    saved = load_saved_model(Path("runs/config/best"))
    assert saved.task.tabular.columns == setup.task.tabular.columns
    names = [
        name for name, weight in saved.model.named_parameters() if "tabular_head" in name and "original" not in name
    ]
    assert len(names) == 5
    again = load_saved_model(Path("runs/config/best"))
    after = logits(saved.model, setup)
    assert torch.equal(after, logits(again.model, setup))
    assert not torch.allclose(before, after)
    setup.train.features = list(setup.train.features)
    for feature in setup.train.features:
        feature.extra = [feature.extra[0] + 3, feature.extra[1]]
    assert not torch.allclose(after, logits(saved.model, setup), atol=1e-6)


@pytest.mark.parametrize("model", ["tiny:bert", "tiny:gpt2"])
def test_evaluation_and_prediction_are_those_of_the_training(model: str, project: Project) -> None:
    path = config_of(project, "regression", model={"name": model}, optim={"lr": 0.01})
    assert main(["train", str(path)]) == 0
    run = RunFolder(Path("runs/config"))
    evaluation = json.loads(run.read(run.evaluation_name("validation")))
    logged = [line for line in project.metrics("config") if line["kind"] == "validation" and line["best"]][-1]
    assert evaluation["loss"] == pytest.approx(logged["loss"], rel=1e-5)
    rows = [{k: v for k, v in row.items() if k != "label"} for row in rows_of("regression")]
    records = Predictor(run).predict_rows(rows)
    changed = Predictor(run).predict_rows([{**row, "price": 900} for row in rows])
    assert records != changed
    assert all(math.isfinite(record["prediction"]) for record in records + changed)


def test_what_depends_on_text_and_number_together_is_learnt(project: Project) -> None:
    """Neither of the two says anything by itself, so a sum of both does not either."""
    rows = [
        {"text": word, "price": price, "label": "yes" if (word == "cheap") == (price < 50) else "no"}
        for word in ("cheap", "fine")
        for price in (10, 20, 80, 90)
    ]
    losses = {}
    for name, features in (("without", {}), ("with", {"price": "number"})):
        path = config_of(
            project,
            "text-classification",
            name,
            data={"features": features},
            optim={"lr": 5e-4, "head_lr": 0.01},
            train={"epochs": 20},
        )
        project.write("joined.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
        project.train(path)
        losses[name] = min(line["loss"] for line in project.metrics(name) if line["kind"] == "validation")
    assert losses["without"] > 0.6
    assert losses["with"] < 0.1


@needs("continual")
@pytest.mark.parametrize("remedy", ["replay", "ewc", "distillation"])
def test_further_training_keeps_the_first_statistics(remedy: str, project: Project) -> None:
    path = config_of(project, "text-classification")
    project.train(path)
    first = json.loads(Path("runs/config/best/finetune.json").read_text())["state"]["features"]
    rows = [{**row, "price": 7777} for row in rows_of("text-classification")]
    project.write("more.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    project.train(
        path, "run.name=more", "continue_from=runs/config", f"continual.type={remedy}", "data.train=more.jsonl"
    )
    assert json.loads(Path("runs/more/best/finetune.json").read_text())["state"]["features"] == first
    if remedy == "replay":
        stored = [json.loads(line) for line in Path("runs/config/replay/replay.jsonl").read_text().splitlines()]
        assert {"price", "brand"} <= stored[0].keys()
        assert any(row["price"] == 20 for row in stored)


@needs("continual")
def test_further_training_needs_the_same_columns(project: Project, refused: Callable[..., str]) -> None:
    path = config_of(project, "text-classification")
    project.train(path)
    path = config_of(project, "text-classification", data={"features": {"price": "number"}})
    told = refused("train", path, "run.name=more", "continue_from=runs/config")
    assert "data.features.brand category" in told


@needs("export")
@pytest.mark.parametrize("options", [[], ["--adapter"]])
def test_only_onnx_is_exported(options: Sequence[str], project: Project, refused: Callable[..., str]) -> None:
    project.train(config_of(project, "text-classification", method={"type": "lora"}))
    told = refused("export", "latest", "new", *options)
    assert "do not read data.features" in told
    assert "--format onnx" in told


@needs("check_data")
def test_equal_texts_with_other_features_are_no_conflict(project: Project) -> None:
    from finetune.check_data.check import check_data

    found = check_data(load_config(config_of(project, "text-classification", data={"validation": None})))
    assert not [one for one in found["findings"] if "conflict" in one["kind"]]


@needs("serving")
def test_the_server_reads_rows_with_them(project: Project) -> None:
    pytest.importorskip("fastapi")
    from test_serving import Running

    project.train(config_of(project, "text-classification"))
    run = RunFolder(Path("runs/config"))
    rows = [{k: v for k, v in row.items() if k != "label"} for row in rows_of("text-classification")]
    with Running(run) as server:
        answers = server.ask("/v1/predict", {"rows": rows})["predictions"]
        assert [one["prediction"] for one in answers] == [
            one["prediction"] for one in Predictor(run).predict_rows(rows)
        ]
        status, answer, _ = server.call("/v1/predict", {"rows": [{"text": "a thing"}]})
        assert status == 422
        assert "no column 'price', which data.features names" in answer["detail"]
        status, answer, _ = server.call("/predict", {"inputs": "a thing"})
        assert status == 422
        assert "the model reads the columns price, brand beside the text: send rows to /v1/predict" in answer["detail"]


COLUMNS: dict[str, tuple[list[Any], list[Any], list[tuple[str, str, str]]]] = {  # train, validation, findings
    "nothing wrong": ([1, 2, 1, 2], [1, 7], []),
    "some missing": (
        [1, None, 2, "nan", 2, 1],
        [2, ""],
        [
            ("missing-feature", "note", "2 rows of train (33.3 %) have no value in 'cost'"),
            ("missing-feature", "note", "1 row of validation (50.0 %) has no value in 'cost'"),
        ],
    ),
    "missing in use": (
        [1, 2, 1, 2],
        [None, 1],
        [
            (
                "missing-feature",
                "warning",
                "1 row of validation (50.0 %) has no value in 'cost', but every row of train has one",
            )
        ],
    ),
    "empty": ([None] * 4, [1, 2], [("empty-feature", "alarm", "no row of train has a value in 'cost': the training")]),
    "constant": ([1, "1.0", 1.0, 1], [2, 3], [("constant-feature", "warning", "'cost' is ")]),
    "rare": ([1, 1, 2, 3], [4, 4], [("rare-category", "note", "2 values of 'cost' (66.7 %) in only one row of train")]),
}


@needs("check_data")
@pytest.mark.parametrize("kind", ["number", "category"])
@pytest.mark.parametrize("name", COLUMNS)
def test_columns_that_say_little_are_found(name: str, kind: Any, project: Project) -> None:
    from finetune.check_data.check import check_data

    train, validation, expected = COLUMNS[name]
    for file, cells in (("train", train), ("other", validation)):
        rows = [{"text": f"{file} {number}", "label": "ab"[number % 2], "cost": cell}
                for number, cell in enumerate(cells)]  # fmt: skip
        project.write(f"{file}.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    data = {"train": "train.jsonl", "validation": "other.jsonl", "test": None, "features": {"cost": kind}}
    found = check_data(load_config(project.config("text-classification", data=data)))["findings"]
    kinds = ("missing-feature", "empty-feature", "constant-feature", "rare-category")
    told = [(one["kind"], one["severity"], one["message"]) for one in found if one["kind"] in kinds]
    expected = [one for one in expected if one[0] != "rare-category" or kind == "category"]
    assert len(told) == len(expected)
    for one, other in zip(told, expected, strict=True):
        assert one[:2] == other[:2]
        assert one[2].startswith(other[2])
