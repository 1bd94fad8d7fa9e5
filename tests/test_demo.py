"""The demo of each task, by the commands of Train (demo), Evaluate and Predict; the project's own tests."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import DATA_FORMAT, TASKS
from ft_template.create.bake import bake
from warm import run

# Main metric on the test data, by task: accuracy, micro F1, R2, F1 of entities, NDCG@10 (twice), perplexity of a token
# (twice; lower is better), BLEU, ROUGE-L.
START = {
    "text-classification": (150, 0.55),
    "multi-label-classification": (200, 0.45),
    "regression": (150, 0.4),
    "token-classification": (100, 0.25),
    "ranking": (50, 0.72),
    "retrieval": (100, 0.3),
    "text-generation": (50, 20),
    "chat": (50, 10),
    "translation": (150, 1.5),
    "summarization": (50, 0.4),
}
"""Optimizer steps after which a demo has visibly started to learn, and what it must reach by then."""
FULL = {
    "text-classification": 0.90,
    "multi-label-classification": 0.90,
    "regression": 0.75,  # 0.81 are a correlation of 0.9
    "token-classification": 0.90,
    "ranking": 0.82,
    "retrieval": 0.8,
    "text-generation": 1.6,  # 1 is out of reach: the same facts can be said in several ways
    "chat": 1.3,
    "translation": 50,
    "summarization": 0.85,
}
"""What each demo must reach when it is trained to its end; docs/benchmarks.md has the figures."""


@pytest.fixture(scope="module", params=TASKS)
def task(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def demo(task: str, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that shares this environment instead of installing its own."""
    return bake(tmp_path_factory.mktemp("demo"), {"environment": "none", "task": task}, template=repository)


def train_and_evaluate(project: Path, name: str, *overrides: str) -> dict[str, Any]:
    """Train the demo as the run `name`, and return its evaluation on the test data."""
    assert "best so far" in run(project, "finetune", "train", "configs/demo.yaml", *overrides)
    run(project, "finetune", "evaluate", "latest")
    found: dict[str, Any] = json.loads((project / "runs" / name / "evaluation-test.json").read_text("utf-8"))
    return found


def score_and_baselines(evaluation: dict[str, Any]) -> tuple[float, list[float]]:
    """The main metric of the model, and that of each trivial baseline."""
    name = evaluation["headline"]
    trivial = [baseline for baseline in evaluation["baseline"] if not baseline.get("learnt")]
    return evaluation["metrics"][name], [baseline["metrics"][name] for baseline in trivial]


def test_demo_starts_to_learn(demo: Path, task: str) -> None:
    steps, wanted = START[task]
    evaluation = train_and_evaluate(demo, "start", f"train.max_steps={steps}", "run.name=start")
    score, (baseline, *_) = score_and_baselines(evaluation)
    assert score <= wanted < baseline if evaluation["lower_is_better"] else score >= wanted > baseline
    folder = demo / "runs/start"
    losses = [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0]
    assert (folder / "report/loss.svg").stat().st_size > 5_000

    source = Path("data/demo", f"test.{DATA_FORMAT[task]}")
    run(demo, "finetune", "predict", "latest", str(source))
    predicted = (folder / "predictions" / source.name).read_text("utf-8").splitlines()
    assert len(predicted) == len((demo / source).read_text("utf-8").rstrip("\n").splitlines())


def test_the_trials_of_the_sweep_are_long_enough_to_learn(demo: Path, task: str) -> None:
    """Where no trial learns, all are equally bad, and the sweep chooses nothing."""
    sweep = yaml.safe_load((demo / "sweeps/demo.yaml").read_text("utf-8"))
    [steps] = sweep["vary"]["train.max_steps"]
    assert steps >= START[task][0]


@pytest.mark.slow
def test_demo_reaches_its_published_figure(demo: Path, task: str) -> None:
    evaluation = train_and_evaluate(demo, "demo")
    score, baselines = score_and_baselines(evaluation)
    if evaluation["lower_is_better"]:
        assert score <= FULL[task] < 0.1 * min(baselines)
    else:
        assert score >= FULL[task]
        assert score > max(baselines) + 0.1


def test_project_is_clean(demo: Path) -> None:
    run(demo, "ruff", "check", "--no-cache", ".")
    run(demo, "ruff", "format", "--no-cache", "--check", ".")


def test_what_the_answers_decide_passes_the_projects_own_tests(demo: Path) -> None:
    """The others are the same bytes in every project; test_end_to_end.py runs them all."""
    assert " passed" in run(
        demo, "pytest", "-q", "-p", "no:cacheprovider", "tests/test_config.py", "tests/test_project.py"
    )
