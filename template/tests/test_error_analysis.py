"""`finetune errors`: mistakes and training rows with the highest loss; what it writes is trained on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import FILES, TASKS, WRITING, Project, build

from finetune.cli import main
from finetune.config.load import load_config
from finetune.dataset import new_task, stream_chosen

RUN = "runs/config"


def lines(path: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def written(name: str) -> list[dict[str, Any]]:
    return lines(f"{RUN}/errors-{name}.jsonl")


@pytest.mark.parametrize("task", TASKS)
def test_what_is_written_is_trained_on(
    task: str, project: Project, finished: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every task: mistakes of the test data and training rows, each with its columns, in a training of both files."""
    finished(task)
    project.config(task)
    assert main(["errors", RUN, "--count", "2"]) == 0
    shown = capsys.readouterr().out
    assert "written: runs/config/errors-test.jsonl" in shown.replace("\\", "/")
    assert "Training rows with the highest loss" in shown
    rows = written("train")
    assert {file for row in rows if (file := row["place"].rpartition(":")[0])} == {FILES[task][0]}
    assert all(isinstance(row["loss"], float) for row in rows)
    assert ("prediction" in rows[0]) == (task not in WRITING)
    files = [FILES[task][0], f"{RUN}/errors-train.jsonl", f"{RUN}/errors-test.jsonl"]
    original, *both = ([*_examples(project, task, [file])] for file in files)
    assert both[0]
    assert all(example in original for example in both[0]) or task == "ranking"  # whose lists are put together
    config = load_config(project.config(task, data={"train": files}, train={"device": "cpu"}))
    if task == "ranking":
        assert sum(len(example.documents) for example in build(config).train.examples) > 9
    else:
        assert len(build(config).train.examples) == sum(map(len, (original, *both)))


def _examples(project: Project, task: str, files: list[str]) -> list[Any]:
    config = load_config(project.config(task))
    fresh = new_task(config)
    examples = fresh.parse([*stream_chosen(config.data, fresh, files)])
    return [_without_place(example) for example in examples]


def _without_place(example: Any) -> Any:
    """Dialogues know their place."""
    return example.messages if hasattr(example, "messages") else example


def test_a_corrected_label_is_the_one_that_is_trained_on(project: Project, finished: Callable[[str], None]) -> None:
    finished("text-classification")
    assert main(["errors", RUN, "--split", "train", "--count", "1"]) == 0
    (row,) = written("train")
    row["label"] = {"good": "bad", "bad": "good"}[row["label"]]
    project.write("corrected.jsonl", json.dumps(row) + "\n")
    (example,) = _examples(project, "text-classification", ["corrected.jsonl"])
    assert (example.text, example.label) == (row["text"], row["label"])
