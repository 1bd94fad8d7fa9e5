"""JSON files of a run from somebody else: values of other types are refused in a sentence that names the file."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune.config.load import read_config
from finetune.errors import UserError
from finetune.files import damage
from finetune.run.find import find_run
from finetune.run.folder import RunFolder
from finetune.run.history import read_history
from finetune.run.saved_model import load_saved_model

EVALUATION: dict[str, Any] = {
    "task": "text-classification", "split": "test", "data": "test.jsonl", "examples": 4, "loss": 0.5,
    "headline": "accuracy", "lower_is_better": False, "metrics": {"accuracy": 0.5}, "notes": [],
    "baseline": [{"name": "majority", "metrics": {"accuracy": 0.5}}],
    "tables": [{"title": "Labels", "columns": ["label", "f1"], "rows": [["good", 0.5]]}],
    "matrices": [{"title": "a", "labels": ["a"], "counts": [[1]], "row_label": "true", "column_label": "predicted"}],
    "scatters": [{"title": "a", "true": [1.0], "predicted": [1]}],
    "curves": [{"title": "a", "x_label": "x", "x": [0.0], "lines": {"f1": [0.5]}, "chosen": 0.5}],
}  # fmt: skip

SAVED = {"task": {"type": "text-classification"}, "state": {"labels": ["a", "b"]}, "max_length": 32, "base": {},
         "base_files": {}, "head": [], "method": {"type": "full"}}  # fmt: skip


def evaluated(folder: Path, **changes: Any) -> list[dict[str, Any]]:
    (folder / "evaluation-test.json").write_text(json.dumps({**EVALUATION, **changes}), encoding="utf-8")
    return RunFolder(folder).evaluations()


def test_what_an_evaluation_has_written_is_read_as_it_is(tmp_path: Path) -> None:
    assert evaluated(tmp_path) == [EVALUATION]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metrics": []}, "metrics: Input should be"),
        ({"metrics": {"accuracy": "0.5"}}, "metrics.accuracy"),
        ({"headline": "f1"}, "the metrics lack the headline"),
        ({"baseline": [{"name": "a", "metrics": {}}]}, "the metrics lack the headline"),
        ({"examples": 10**30}, "examples: "),
        ({"tables": [{"title": "a", "columns": ["a", "b"], "rows": [["c"]]}]}, "a cell for each column"),
        ({"matrices": [{**EVALUATION["matrices"][0], "counts": []}]}, "a row and a column for each label"),
        ({"scatters": [{"title": "a", "true": [], "predicted": []}]}, "scatters.0.true"),
        ({"scatters": [{"title": "a", "true": [1.0], "predicted": []}]}, "the same length"),
        ({"curves": [{**EVALUATION["curves"][0], "x": []}]}, "a value for each x"),
        ({"notes": ["\ud800"]}, "surrogate pair"),
        ({"notes": json.loads("[" * 200 + "]" * 200)}, "is nested too deeply"),
    ],
)
def test_an_evaluation_with_other_values_is_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        evaluated(tmp_path, **changes)
    assert str(caught.value).startswith(f"{tmp_path / 'evaluation-test.json'}: ")
    assert said in str(caught.value)
    assert str(caught.value).endswith(": remove it and evaluate again")


@pytest.mark.parametrize(
    "content",
    ['{"packages": []}', '{"data": {"a": 5}}', '{"started": "x"}', '{"total_steps": "5"}', "[" * 5000, '{"git": "x"}'],
)
def test_an_environment_with_other_values_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "environment.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"environment\.json: .+: start the training again$"):
        RunFolder(tmp_path).environment()


@pytest.mark.parametrize(
    ("name", "value"),
    [("step", '"5"'), ("step", "1" + "0" * 400), ("step", "1.5"), ("loss", "[]"), ("seconds", "1e300"), ("kind", "5")],
)
def test_a_line_of_the_log_with_another_value_is_refused(name: str, value: str, tmp_path: Path) -> None:
    line = '{"kind": "train", "step": 1, "loss": 0.5}\n'
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{line}{{"kind": "train", "step": 1, "lr": 1, "{name}": {value}}}\n{line}', encoding="utf-8")
    with pytest.raises(UserError, match=r"metrics\.jsonl:2: not a record of a training"):
        read_history(path)


def test_a_config_of_other_bytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b'{"run": "\xff"}')
    with pytest.raises(UserError, match=r"config\.json: is no text in UTF-8"):
        read_config(tmp_path / "config.json")


@pytest.mark.parametrize("size", ["1e999", "[]", "null", "[" * 5000])
def test_a_manifest_of_odd_sizes_is_damaged(size: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(f'{{"a": {{"size": {size}, "sha256": ""}}}}', encoding="utf-8")
    assert damage(tmp_path) == "manifest.json is missing or damaged"


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "{}", "[" * 5000, json.dumps(SAVED | {"max_length": 32.5}), json.dumps(SAVED | {"head": "x"}),
     json.dumps(SAVED | {"task": {"type": "x"}}), json.dumps(SAVED | {"state": {}}),
     json.dumps(SAVED | {"method": {}})],
)  # fmt: skip
def test_a_description_of_a_model_with_other_values_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "finetune.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"finetune\.json: .+: put back an intact copy of the folder, or train"):
        load_saved_model(tmp_path)


def test_a_name_that_no_system_allows_is_no_run() -> None:
    with pytest.raises(UserError, match="is not the folder of a run"):
        find_run("9" * 5000)
