"""The demo of each task, as the first press of Train (demo), Evaluate and Predict runs it; the project's own tests."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import DATA_FORMAT, TASKS
from ft_template.create.bake import bake
from warm import run

WANTED = {
    "text-classification": 0.90,  # accuracy
    "multi-label-classification": 0.90,  # micro F1
    "regression": 0.75,  # R2, of which 0.81 are a correlation of 0.9
    "token-classification": 0.90,  # F1 of entities
    "ranking": 0.82,  # NDCG@10
    "text-generation": 1.6,  # perplexity of a token, which cannot reach 1: the same facts can be said in several ways
    "chat": 1.3,  # perplexity of a token
    "translation": 50,  # BLEU
    "summarization": 0.85,  # ROUGE-L
}
"""The headline that each demo must reach on its test data."""


@pytest.fixture(scope="module", params=TASKS)
def task(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def demo(task: str, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that shares this environment instead of installing its own."""
    return bake(tmp_path_factory.mktemp("demo"), {"environment": "none", "task": task}, template=repository)


def evaluation(project: Path, split: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project / "runs" / "demo" / f"evaluation-{split}.json").read_text("utf-8"))
    return found


def test_demo_learns(demo: Path, task: str) -> None:
    assert "best so far" in run(demo, "finetune", "train", "configs/demo.yaml")
    run(demo, "finetune", "evaluate", "latest")
    test = evaluation(demo, "test")
    score, baselines = test["metrics"][test["headline"]], [b["metrics"][test["headline"]] for b in test["baseline"]]
    if test["lower_is_better"]:
        assert score <= WANTED[task] < 0.1 * min(baselines)
    else:
        assert score >= WANTED[task]
        assert score > max(baselines) + 0.1
    losses = [json.loads(line) for line in (demo / "runs/demo/metrics.jsonl").read_text().splitlines()]
    assert losses[-1]["loss"] < losses[0]["loss"]
    assert (demo / "runs/demo/report/loss.png").stat().st_size > 5_000

    source = Path("data/demo", f"test.{DATA_FORMAT[task]}")
    run(demo, "finetune", "predict", "latest", str(source))
    predicted = (demo / "runs/demo/predictions" / source.name).read_text("utf-8").splitlines()
    assert len(predicted) == len((demo / source).read_text("utf-8").rstrip("\n").splitlines())


def test_project_is_clean(demo: Path) -> None:
    run(demo, "ruff", "check", "--no-cache", ".")
    run(demo, "ruff", "format", "--no-cache", "--check", ".")


def test_what_the_answers_decide_passes_the_projects_own_tests(demo: Path) -> None:
    """The others are the same bytes in every project; test_end_to_end.py runs them all."""
    assert " passed" in run(
        demo, "pytest", "-q", "-p", "no:cacheprovider", "tests/test_config.py", "tests/test_project.py"
    )
