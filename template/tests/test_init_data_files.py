"""`finetune init-data` of what is no single file with the task's columns: folders, patterns, parallel text, forms."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import SENTENCES, Project, conll
from pyarrow import Table, ipc

from finetune.cli import main
from finetune.config.load import load_config
from finetune.data.forms import all_forms
from finetune.data.forms.form import Form
from finetune.data.rows import Columns, read_rows
from finetune.dataset import read_split
from finetune.tasks import make_task

ALL = ["--validation", "0", "--test", "0"]
MOODS = [{"review": f"text {number}", "stars": "good" if number % 2 else "bad"} for number in range(40)]


@pytest.fixture
def init(project: Project) -> Callable[..., dict[str, Any]]:
    """Run init-data with a config of a task; returns the section data, whose files have been read."""

    def run(file: str, *options: str, task: str = "text-classification") -> dict[str, Any]:
        path = project.config(task)
        assert main(["init-data", file, "--config", str(path), *options]) == 0
        config = load_config(path)
        for files in (config.data.train, config.data.validation, config.data.test):
            if files:
                read_split(config, make_task(config.task), files)
        values: dict[str, Any] = yaml.safe_load(path.read_text())["data"]
        return values

    return run


def lines_of(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_several_files_become_one_dataset(project: Project, init: Callable[..., dict[str, Any]]) -> None:
    for name, rows in (("a", MOODS[:20]), ("b", MOODS[20:])):
        text = "".join(f"{row['review']},{row['stars']}\n" for row in rows)
        project.write(f"raw/{name}.csv", f"review,stars\n{text}")
    for source in ("raw/*.csv", "raw"):
        data = init(source)
        assert data["train"] == "data/raw-split/train.jsonl"
        assert data["columns"] == {"text": "review", "label": "stars"}
        found = [row for part in ("train", "validation", "test") for row in lines_of(data[part])]
        assert sorted(found, key=lambda row: int(row["review"].split()[1])) == MOODS


def test_one_file_of_a_pattern_keeps_its_format(project: Project, init: Callable[..., dict[str, Any]]) -> None:
    text = "".join(f"{row['review']},{row['stars']}\n" for row in MOODS)
    project.write("raw/only.csv", f"review,stars\n{text}")
    assert init("raw/*.csv")["train"] == "data/only/train.csv"


@pytest.mark.filterwarnings("ignore::finetune.console.Notice")
def test_texts_by_label_and_parallel_text(project: Project, init: Callable[..., dict[str, Any]]) -> None:
    for row in MOODS:
        project.write(f"moods/{row['stars']}/{row['review'][5:]}.txt", row["review"])
    data = init("moods", *ALL)
    assert "columns" not in data
    assert {(row["text"], row["label"]) for row in lines_of(data["train"])} == {(*row.values(),) for row in MOODS}
    for language in ("en", "de"):
        project.write(f"news.{language}", "".join(f"{language} {number}\n" for number in range(9)))
    data = init("news.{en,de}", *ALL, task="translation")
    assert data["train"] == "data/news/train.jsonl"
    assert lines_of(data["train"])[3] == {"source": "en 3", "target": "de 3"}


def test_a_table_of_arrow_and_several_conll_files(project: Project, init: Callable[..., dict[str, Any]]) -> None:
    table = Table.from_pylist(MOODS)
    with ipc.new_file("moods.arrow", table.schema) as writer:
        writer.write_table(table)
    assert ipc.open_file(init("moods.arrow", *ALL)["train"]).read_all().to_pylist() == MOODS
    project.write("tagged/a.conll", conll(SENTENCES[:3]))
    project.write("tagged/b.conll", conll(SENTENCES[3:]))
    data = init("tagged", *ALL, task="token-classification")
    assert [" ".join(row["tags"]) for row in lines_of(data["train"])] == [tags for _, tags in SENTENCES]


@pytest.mark.filterwarnings("ignore::finetune.console.Notice")
def test_the_form_of_a_tool_is_kept(
    project: Project, init: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    form = Form(
        "a tool",
        lambda first: "task" in first,
        lambda one, place: {"text": one["task"]["text"], "label": one["verdict"]["choice"]},
    )
    monkeypatch.setattr(all_forms, "FORMS", {"text-classification": (form,)})
    rows = [{"task": {"text": row["review"]}, "verdict": {"choice": row["stars"]}} for row in MOODS]
    project.write("tool.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    data = init("tool.jsonl")
    assert "read as a tool" in capsys.readouterr().out
    assert "columns" not in data
    assert all(row in rows for row in lines_of(data["train"]))
    read = read_rows(Path(data["test"]), Columns(("text", "label"), task="text-classification"))
    assert {row.values["label"] for row in read} == {"good", "bad"}
