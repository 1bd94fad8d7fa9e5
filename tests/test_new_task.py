"""A new task is a section, a class and their names: docs/new-task.md shows one, and this adds it to a project."""

import json
import re
from pathlib import Path

from conftest import Bake
from ft_template.create.bake import REPOSITORY
from warm import run

CONFIG = """
task: {type: duplicate-questions}
model: {name: "tiny:bert", max_length: 32}
data: {train: data/train.jsonl, validation: data/train.jsonl, test: data/train.jsonl}
train: {epochs: 80, batch_size: 4, eval_every: 1000}
optim: {lr: 3.0e-3}
"""
PAIRS = [
    ("when do you open ?", "what are your hours ?", "yes"),
    ("where is my parcel ?", "has my parcel been sent ?", "yes"),
    ("when do you open ?", "has my parcel been sent ?", "no"),
    ("where is my parcel ?", "what are your hours ?", "no"),
]


def blocks() -> list[str]:
    """The code of the page: section, its name in AnyTask, class, and two lines of the table."""
    page = (REPOSITORY / "docs" / "new-task.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def add_task(project: Path) -> None:
    """Do what the page says."""
    tasks = project / "src/finetune/tasks"
    section, name, task, imported, line = blocks()
    (tasks / "duplicate_questions.py").write_text(task, encoding="utf-8")
    before(tasks / "settings.py", "AnyTask = ", f"{section}\n\n")
    before(tasks / "settings.py", "    | MultiLabelClassification\n", name)
    before(tasks / "table.py", "from .multi_label", imported)
    before(tasks / "table.py", "    settings.MultiLabel", line)


def before(path: Path, place: str, code: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(place) == 1
    path.write_text(text.replace(place, code + place), encoding="utf-8")


def test_the_task_of_the_docs_trains_evaluates_and_predicts(bake_project: Bake) -> None:
    project = bake_project()
    add_task(project)
    rows = [{"text": text, "text_pair": pair, "label": label} for text, pair, label in PAIRS]
    (project / "data/train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (project / "configs/questions.yaml").write_text(CONFIG, encoding="utf-8")

    run(project, "finetune", "train", "configs/questions.yaml")
    run(project, "finetune", "evaluate", "latest")
    evaluation = json.loads((project / "runs/questions/evaluation-test.json").read_text(encoding="utf-8"))
    assert (evaluation["task"], evaluation["headline"]) == ("duplicate-questions", "f1_macro")
    assert evaluation["metrics"]["f1_macro"] == 1
    text, pair, label = PAIRS[0]
    answer = run(project, "finetune", "predict", "latest", "--text", text, "--text-pair", pair)
    assert json.loads(answer.splitlines()[-1])["prediction"] == label  # the first line says which run is the latest
    assert "duplicate-questions" in run(project, "finetune", "schema")


def test_its_config_is_checked_like_any_other(bake_project: Bake) -> None:
    """The new name is among those that an error offers."""
    project = bake_project()
    assert len([line for line in "".join(blocks()).splitlines() if line.strip()]) <= 14
    add_task(project)
    (project / "configs/questions.yaml").write_text(CONFIG.replace("duplicate-questions", "duplicates"), "utf-8")
    assert "'duplicate-questions'" in run(project, "finetune", "train", "configs/questions.yaml", code=2)
