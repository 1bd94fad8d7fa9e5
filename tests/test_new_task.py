"""A new task is one file and its data: docs/new-task.md shows one, and this adds it to a project."""

import json
import re

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


def test_the_task_of_the_docs_trains_evaluates_and_predicts(bake_project: Bake) -> None:
    project = bake_project()
    page = (REPOSITORY / "docs" / "new-task.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert code
    (project / "src/finetune/tasks/duplicate_questions.py").write_text(code.group(1), encoding="utf-8")
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
    assert json.loads(answer)["prediction"] == label
    assert "duplicate-questions" in run(project, "finetune", "schema")


def test_its_config_is_checked_like_any_other(bake_project: Bake) -> None:
    """One file is enough also for the errors: the new name stands among those that can be chosen."""
    project = bake_project()
    page = (REPOSITORY / "docs" / "new-task.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 14
    (project / "src/finetune/tasks/duplicate_questions.py").write_text(code, encoding="utf-8")
    (project / "configs/questions.yaml").write_text(CONFIG.replace("duplicate-questions", "duplicates"), "utf-8")
    assert "'duplicate-questions'" in run(project, "finetune", "train", "configs/questions.yaml", code=2)
