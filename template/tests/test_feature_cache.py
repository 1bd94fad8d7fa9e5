"""The cache of tokenized training data: the same training as from memory, made once, verified, named by its content."""

import json
import os
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUIET, TASKS, Project, build

from finetune import dataset
from finetune.cli import main
from finetune.config.load import load_config
from finetune.data.features import Feature
from finetune.data.places import Places, PlaceWriter
from finetune.data.store import ColumnWriter, FeatureStore, write_features
from finetune.dataset import Examples, encode_split, read_split
from finetune.errors import UserError
from finetune.feature_cache import FeatureCache
from finetune.model.load import load_tokenizer
from finetune.run.folder import RunFolder
from finetune.tasks import make_task
from finetune.train import build as setting_up
from finetune.train import loop as training
from finetune.train.guards import NotFiniteError
from finetune.train.start import FreshStart


def stored(folder: Path, *parts: list[Feature]) -> FeatureStore:
    columns = ColumnWriter(folder)
    for part in parts:
        write_features(columns, part)
    return FeatureStore(folder, columns.types)


def entries() -> list[Path]:
    return sorted(path for path in Path("runs/.cache").iterdir() if path.is_dir())


def configured(project: Project, task: str) -> Path:
    return project.config(task, model={"max_length": 12})


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are never held in memory, and parts of two rows."""
    monkeypatch.setattr(dataset, "HELD", -1)
    monkeypatch.setattr(dataset, "CHUNK_ROWS", 2)


def test_features_come_back_as_they_were(tmp_path: Path) -> None:
    """Each field, also one that is empty at first; values of 32 bits, and those that need more precision."""
    features = [
        Feature(0, {"input_ids": [5], "token_type_ids": [0]}, [0.1, 1 / 3]),
        Feature(0, {"input_ids": [], "token_type_ids": []}, []),
        Feature(1, {"input_ids": [2**31 - 1, 7], "token_type_ids": [1, 1]}, [2.5], 3, [4, 6], 8, [9], 2),
    ]
    store = stored(tmp_path, features[:1], features[1:])
    assert [*store] == features
    assert (store[-1], store[1:], len(store)) == (features[-1], features[1:], 3)
    assert [type(store[2].labels[0]), type(store[2].words[0]), type(store[2].example)] == [float, int, int]
    assert store.tokens.tolist() == [feature.tokens for feature in features]
    with pytest.raises(IndexError):
        store[3]


def test_what_a_column_cannot_hold_is_refused(tmp_path: Path) -> None:
    whole = Feature(0, {"input_ids": [1]}, [1])
    with pytest.raises(ValueError, match="column labels has values of types int32 and float64"):
        stored(tmp_path, [whole], [Feature(1, {"input_ids": [1]}, [0.5])])
    with pytest.raises(ValueError, match="inputs: all features need the same names"):
        stored(tmp_path, [whole, Feature(1, {"input_ids": [1], "token_type_ids": [0]}, [1])])


def test_places_come_back_as_they_were(tmp_path: Path) -> None:
    paths = [Path("data/a.jsonl"), Path("b.parquet")]
    columns = ColumnWriter(tmp_path)
    writer = PlaceWriter(columns, paths)
    writer.add([(0, "data/a.jsonl:7"), (0, "data/a.jsonl:12")])
    writer.add([(1, "b.parquet: row 5"), (1, "b.parquet: the end")])
    assert "jsonl" not in json.dumps(writer.kinds), "the name of a file is no content"
    places = Places(tmp_path, columns.types, writer.kinds, [Path("moved/a.jsonl"), paths[1]])
    assert [*places] == ["moved/a.jsonl:7", "moved/a.jsonl:12", "b.parquet: row 5", "b.parquet: the end"]


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("task", TASKS)
def test_a_training_from_the_cache_is_one_from_memory(
    task: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same features, order, losses and weights as without the cache, to the bit."""
    path, overrides = configured(project, task), ["train.log_every=1", "train.micro_batch_tokens=64"]
    config = load_config(path, overrides)
    assert training.train(config, console=QUIET)
    examples = read_split(config, make_task(config.task), config.data.train)
    setup = build(config)
    known = make_task(config.task)
    known.fit(examples)
    expected = encode_split(config, known, setup.tokenizer, examples)
    known.fit_features(expected.features)
    assert [*setup.train.features] == expected.features
    assert json.dumps(setup.task.state()) == json.dumps(known.state())
    assert setup.train.starts.tolist() == expected.starts.tolist()
    assert (setup.train.lengths.tolist(), setup.train.truncated) == (expected.lengths.tolist(), expected.truncated)
    assert (setup.train.size, len(setup.train.places)) == (expected.size, len(examples))

    monkeypatch.setattr(FeatureCache, "make", lambda self: "")
    monkeypatch.setattr(FeatureCache, "open", lambda self, _: self.task.load_state(known.state()) or expected)
    assert training.train(load_config(path, [*overrides, "run.name=memory"]), console=QUIET)
    names = [path.relative_to("runs/config") for path in Path("runs/config").rglob("*.safetensors")]
    assert names
    assert [
        name for name in names if Path("runs/config", name).read_bytes() != Path("runs/memory", name).read_bytes()
    ] == []
    losses = [[record["loss"] for record in project.metrics(run)] for run in ("config", "memory")]
    assert losses[0] == losses[1]


def test_a_second_start_reads_no_rows(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(configured(project, "text-generation"))
    first = build(config)
    monkeypatch.setattr(setting_up, "require_readable", lambda *_: None)
    monkeypatch.setattr(FreshStart, "load_tokenizer", lambda *_: first.tokenizer)
    monkeypatch.setattr(Examples, "chunks", lambda _: pytest.fail("the rows were read again"))
    second = build(config)
    assert [*second.train.features] == [*first.train.features]
    assert second.task.state() == first.task.state()
    assert (second.train.size, second.train.where([0])) == (first.train.size, "completed.jsonl:1")


def test_an_entry_is_named_by_all_that_it_depends_on(project: Project) -> None:
    """What does not change a feature leads to the same entry, also of another training; what may, to a new one."""
    path = configured(project, "text-classification")
    build(load_config(path))
    (entry,) = entries()
    for same in ("run.name=other", "train.seed=1", "optim.lr=0.1", "model.attention=eager", "data.test=null"):
        build(load_config(path, [same]))
    project.write("train.jsonl", project.folder.joinpath("train.jsonl").read_bytes())
    build(load_config(path))
    assert entries() == [entry]
    others = ("model.max_length=13", "model.name=tiny:gpt2", "task.class_weights=balanced", "data.where={text: a}")
    for number, other in enumerate(others, start=2):
        build(load_config(path, [other]))
        assert len(entries()) == number, other
    content = project.folder.joinpath("train.jsonl").read_text()
    project.write("train.jsonl", content.replace("fine", "good"))
    build(load_config(path))
    assert len(entries()) == len(others) + 2
    os.rename("train.jsonl", "moved.jsonl")
    assert build(load_config(path, ["data.train=moved.jsonl"])).train.where([3]) == "moved.jsonl:4"


@pytest.mark.parametrize("damage", ["truncated", "changed", "missing", "no-manifest"])
def test_a_damaged_entry_is_made_anew(damage: str, project: Project) -> None:
    config = load_config(configured(project, "text-classification"))
    expected = [*build(config).train.features]
    (entry,) = entries()
    column = entry / "inputs.input_ids"
    match damage:
        case "truncated":
            column.write_bytes(column.read_bytes()[:-4])
        case "changed":
            column.write_bytes(column.read_bytes()[:-4] + b"\x07\0\0\0")
        case "missing":
            column.unlink()
        case _:
            (entry / "manifest.json").unlink()
    assert [*build(config).train.features] == expected
    assert entries() == [entry]


def test_what_fails_leaves_nothing_behind(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    path = configured(project, "text-classification")
    monkeypatch.setattr(dataset, "HELD", -1)
    project.write("train.jsonl", '{"text": "a", "label": "b"}\n{"text": "c"}\n')
    with pytest.raises(UserError, match=r"^train.jsonl:2: no value in column 'label'"):
        build(load_config(path))
    assert not Path("runs/.cache").exists() or entries() == []


def test_a_file_that_changes_while_it_is_read_is_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    path = configured(project, "text-classification")
    fit = FreshStart.fit_task

    def fit_slowly(self: FreshStart, task: Any, examples: Any) -> None:
        fit(self, task, examples)
        with Path("train.jsonl").open("a") as file:
            file.write('{"text": "one more", "label": "good"}\n')

    monkeypatch.setattr(FreshStart, "fit_task", fit_slowly)
    with pytest.raises(UserError, match=r"^train.jsonl: has changed while it was read"):
        build(load_config(path))
    assert entries() == []


@pytest.mark.parametrize("held", [-1, 2**25])
def test_examples_are_a_sequence_of_files(held: int, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "HELD", held)
    monkeypatch.setattr(dataset, "CHUNK_ROWS", 3)
    config = load_config(configured(project, "text-classification"), [])
    files = ["train.jsonl", "validation.jsonl"]
    expected = read_split(config, make_task(config.task), files)
    examples = Examples(config, make_task(config.task), files)
    assert [*examples] == [*examples] == expected
    assert len(examples) == len(expected)
    assert [examples[0], examples[-1], examples[11]] == [expected[0], expected[-1], expected[11]]
    for part in (slice(4), slice(2, 9, 3), slice(-3, None), slice(None)):
        assert examples[part] == expected[part]
    places = [place for chunk in examples.chunks() for place in chunk.places]
    assert places == [(0, f"train.jsonl:{n}") for n in range(1, 11)] + [
        (1, f"validation.jsonl:{n}") for n in range(1, 6)
    ]


def test_long_texts_are_read_in_small_parts(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "CHUNK_CHARACTERS", 29)
    config = load_config(configured(project, "text-classification"), [])
    chunks = [*Examples(config, make_task(config.task), ["train.jsonl"]).chunks()]
    assert [len(chunk.examples) for chunk in chunks][:2] == [2, 1]


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("task", ["text-classification", "multi-label-classification", "regression"])
def test_data_are_read_once_for_the_labels_and_once_to_be_tokenized(
    task: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(configured(project, task))
    readings, read = [], Examples._read
    monkeypatch.setattr(Examples, "_read", lambda self, advance: readings.append(0) or read(self, advance))
    task_, examples = make_task(config.task), Examples(config, make_task(config.task), config.data.train)
    tokenizer = load_tokenizer(config.model, task_, examples)
    readings.clear()
    FeatureCache(Path("cache"), config, task_, tokenizer, examples, FreshStart(config).fit_task).make()
    assert len(readings) == 2
    task_.extend(examples)
    assert len(readings) == 3


@pytest.mark.parametrize("task", ["text-classification", "multi-label-classification", "regression"])
def test_pairs_are_noted_in_first_and_in_further_data(task: str, project: Project) -> None:
    config = load_config(configured(project, task))
    single = read_split(config, make_task(config.task), config.data.train)
    paired = [*single[:-1], replace(single[-1], text_pair="b")]
    known = make_task(config.task)
    assert [known.fit(single), known.paired, known.extend(paired), known.paired] == [None, False, None, True]
    assert [known.extend(single), known.paired, known.fit(paired), known.paired] == [None, True, None, True]


def test_an_error_in_a_step_names_the_lines_of_its_examples(project: Project) -> None:
    setup = build(load_config(configured(project, "ranking")))
    assert setup.train.where([2, 0]) == "lists.jsonl:1, lists.jsonl:6"
    config = load_config(configured(project, "text-classification"))
    setup = build(config)
    with torch.no_grad():
        next(setup.model.parameters()).fill_(torch.nan)
    with pytest.raises(NotFiniteError, match=r"in a step over train.jsonl:3, train.jsonl:8: lower optim.lr"):
        training.optimizer_step(config, setup, [7, 2])
    assert setup.train.where(range(10)).endswith(":10")


def test_doctor_shows_and_removes_the_cache(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """All of it, or what was not used for some days; not while a training runs, and what one has mapped stays."""
    path = configured(project, "text-classification")
    setup = build(load_config(path))
    (old,) = entries()
    features = [*setup.train.features]
    assert project.folder.joinpath("runs/.cache/.gitignore").read_text() == "*\n"
    build(load_config(path, ["model.max_length=13"]))
    (new,) = {*entries()} - {old}
    os.utime(old, (time.time() - 8 * 24 * 3600,) * 2)
    assert main(["doctor"]) == 0
    assert re.search(r"cache +0\.0 MB of tokenized data, which --clean removes", capsys.readouterr().out)
    with RunFolder(Path("runs/config")).claimed():
        assert main(["doctor", "--clean"]) == 0
    assert "kept while a training is running: runs/.cache/" in capsys.readouterr().out
    assert entries() == sorted([old, new])
    assert main(["doctor", "--clean", "--days", "7"]) == 0
    assert re.search(rf"removed: {old} \(0\.0 MB, last used 8 days ago\)\nkept: {new} ", capsys.readouterr().out)
    assert entries() == [new]
    assert [*setup.train.features] == features
    Path("runs/.cache/killed.tmp").mkdir()
    assert main(["doctor", "--clean"]) == 0
    assert sorted(path.name for path in Path("runs/.cache").iterdir()) == [".gitignore"]
    assert [*build(load_config(path)).train.features] == features
