"""JSON files of a run from somebody else: values of other types are refused in a sentence that names the file."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from finetune.cli import training_settings
from finetune.config.load import read_config
from finetune.errors import UserError
from finetune.files import damage
from finetune.run.find import find_run
from finetune.run.folder import RunFolder
from finetune.run.history import read_history
from finetune.run.log import _step_of
from finetune.run.named_files import knows_earlier_run
from finetune.run.saved_model import TASKS, load_saved_model
from finetune.tasks import make_task
from finetune.train.checkpoint import read_progress
from finetune.train.state_file import load_state

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
        ({"interval": [0.1]}, "interval: "),
        ({"interval": [0.1, "0.2"]}, "interval.1"),
        ({"baseline": [{**EVALUATION["baseline"][0], "interval": {}}]}, "baseline.0.interval: "),
        ({"fingerprint": 5}, "fingerprint: "),
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


LABELS = {"labels": ["a", "b"]}
TEXTS = {"vocabulary": 9, "ends": [1], "frequencies": {"3": 5}}
COLUMN = {"type": "category", "values": ["x", None], "shares": [0.5, 0.5]}
STATES: dict[str, dict[str, Any]] = {
    "text-classification": {**LABELS, "majority": "a", "weights": [1, 2.0], "paired": False},
    "multi-label-classification": {**LABELS, "frequent": ["a"], "threshold": 0.5, "overflow": "windows"},
    "regression": {"mean": 1.5, "deviation": 2.0, "features": {"c": COLUMN}},
    "ranking": {"highest": 3.0, "features": {"n": {"type": "number", "mean": 0, "deviation": 1}}},
    "token-classification": {**LABELS, "dictionary": {"Ada": "b"}},
    "text-generation": {**TEXTS, "separator": " "},
    "chat": TEXTS,
}
"""By task: what fitting may have found."""


@pytest.mark.parametrize("name", list(STATES))
def test_what_fitting_has_found_is_read_as_it_is(name: str) -> None:
    task = make_task(TASKS.validate_python({"type": name}))
    task.load_state(STATES[name])
    state = task.state()
    assert {key: state[key] for key in STATES[name]} == STATES[name]


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("text-classification", {"weights": ["1", "2"]}, "state.weights.0: Input should be a valid number"),
        ("text-classification", {"weights": [1.0]}, "its weights must be as many as its labels"),
        ("text-classification", {"weights": [1.0, float("nan")]}, "state.weights.1: "),
        ("text-classification", {"labels": [1, 2]}, "state.labels.0: "),
        ("text-classification", {"labels": ["a", "a"]}, "state.labels: Value error, a label occurs twice"),
        ("text-classification", {"overflow": "x"}, "state.overflow: "),
        ("text-classification", {"paired": "no"}, "state.paired: "),
        ("multi-label-classification", {"threshold": "0.5"}, "state.threshold: "),
        ("multi-label-classification", {"frequent": None}, "state.frequent: "),
        ("regression", {"deviation": 0}, "state.deviation: "),
        ("regression", {"mean": 10**400}, "state.mean: "),
        ("regression", {"features": {"c": {**COLUMN, "shares": [1.0]}}}, "its shares must be as many as its values"),
        ("regression", {"features": {"c": {"type": "x"}}}, "state.features.c: "),
        ("ranking", {"highest": []}, "state.highest: "),
        ("token-classification", {"dictionary": {"Ada": 5}}, "state.dictionary.Ada: "),
        ("text-generation", {"separator": 5}, "state.separator: "),
        ("chat", {"frequencies": {"x": 5}}, "state.frequencies.x.[key]: "),
        ("chat", {"ends": "x"}, "state.ends: "),
    ],
)
def test_a_state_with_other_values_is_refused(name: str, changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    content = SAVED | {"task": {"type": name}, "state": STATES[name] | changes}
    (tmp_path / "finetune.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_saved_model(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'finetune.json'}: state")
    assert said in str(caught.value)


@pytest.mark.parametrize("model", [None, "x", [], 5, {"max_length": 5}, "missing"])
def test_a_config_without_a_model_is_refused_by_its_file(model: Any, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "it"
    run.mkdir(parents=True)
    content = {"task": {"type": "text-classification"}, "data": {"train": "x"}, "model": model}
    if model == "missing":
        del content["model"]
    (run / "config.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match=r"config\.json:1: 'model"):
        training_settings(run, [], resume=True)


def test_a_key_with_a_line_break_is_one_line(tmp_path: Path) -> None:
    content = SAVED | {"task": {"type": "text-classification", "x\ny": 1}, "state": STATES["text-classification"]}
    (tmp_path / "finetune.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_saved_model(tmp_path)
    assert "\\u000a" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a" * 5000, "half \ud800"])
def test_an_earlier_run_with_a_name_that_no_system_allows_is_refused(name: str, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "runs" / "it")
    run.path.mkdir(parents=True)
    (run.path / "environment.json").write_text("{}")
    assert not knows_earlier_run(run, RunFolder(Path(name)))


def test_a_name_that_no_system_allows_is_no_run() -> None:
    with pytest.raises(UserError, match="is not the folder of a run"):
        find_run("9" * 5000)


@pytest.mark.parametrize("content", ["[", "[]", '{"step": "x"}', '{"window": 5}', "[" * 5000, '{"recent": [[]]}'])
def test_the_progress_of_a_checkpoint_with_other_values_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "progress.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"progress\.json: .+: put back an intact checkpoint, or start without"):
        read_progress(tmp_path)


@pytest.mark.parametrize("content", ["[", "[" * 5000, '{"tensor": 5}', '{"dict": 5}', '{"dict": [[{"dict": []}, 1]]}'])
def test_a_state_file_with_other_values_is_refused(content: str, tmp_path: Path) -> None:
    save_file({}, tmp_path / "trainer.safetensors")
    (tmp_path / "trainer.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"trainer\.json: is not the state of a training \("):
        load_state(tmp_path / "trainer")


@pytest.mark.parametrize("content", ["[" * 5000, "[]", '{"matrix": [["x"]]}'])
def test_the_matrix_of_stages_with_other_values_is_refused(content: str, tmp_path: Path) -> None:
    stages = pytest.importorskip("finetune.continual.stages")
    (tmp_path / "stages.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"stages\.json: .+: start the run anew"):
        stages.read_matrix(RunFolder(tmp_path))


@pytest.mark.parametrize("line", ["[" * 5000, "[]", "{", "5", '{"step": []}'])
def test_a_line_that_is_no_record_is_deleted_at_a_resume(line: str) -> None:
    assert _step_of(line) == float("inf")
