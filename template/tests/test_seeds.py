"""`train.seeds`: a run for each seed, resumed as one, and the spread of their metrics."""

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Project, needs, stop_after

from finetune.cli import main
from finetune.config.load import load_config
from finetune.run.folder import RunFolder
from finetune.train.seeds import spread_of

TASK = "text-classification"
RUNS = [Path(f"runs/config-seed{seed}") for seed in (3, 1, 2)]


def weights(run: Path) -> bytes:
    """Those of the best model."""
    return (run / "best/model.safetensors").read_bytes()


@pytest.fixture
def config(project: Project) -> str:
    """A config with three seeds."""
    return str(project.config(TASK, train={"seeds": [3, 1, 2]}))


def test_each_seed_is_an_ordinary_run(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", config]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for number, (seed, run) in enumerate(zip((3, 1, 2), RUNS, strict=True), start=1):
        assert f"seed {seed}, {number} of 3" in shown
        written = json.loads((run / "config.json").read_text())
        assert (written["train"]["seed"], written["train"]["seeds"]) == (seed, None)
        assert (run / "report").is_dir()
        assert main(["train", config, f"train.seed={seed}", "train.seeds=null", f"run.name=alone-{seed}"]) == 0
        assert weights(run) == weights(Path(f"runs/alone-{seed}"))
    assert len({weights(run) for run in RUNS}) == 3

    found = json.loads(Path("runs/config-seeds.json").read_text())
    assert found["runs"] == [run.name for run in RUNS]
    assert [*found["splits"]] == ["validation"]
    evaluations = [json.loads((run / "evaluation-validation.json").read_text()) for run in RUNS]
    table = found["splits"]["validation"]
    assert next(iter(table)) == evaluations[0]["headline"]
    assert {*table} == {*evaluations[0]["metrics"], "loss"}
    losses = [one["loss"] for one in evaluations]
    expected = (statistics.fmean(losses), statistics.stdev(losses), min(losses), max(losses), losses)
    assert (*table["loss"].values(),) == expected
    row = f"loss {expected[0]:.4f} ± {expected[1]:.4f} [{expected[2]:.4f}, {expected[3]:.4f}]"
    assert "validation: 3 seeds of config mean ± standard deviation [min, max] " in shown
    assert row in shown
    assert f"next: python -m finetune compare {' '.join(map(str, RUNS))}" in shown


def test_the_spread_of_metrics() -> None:
    """By hand; a metric that not all of them have is left out."""
    metrics: list[dict[str, float]] = [{"b": 1, "a": 0.5}, {"a": 0.7, "b": 2}, {"a": 0.9, "b": 6, "c": 1}]
    found = spread_of(
        [{"headline": "a", "loss": loss, "metrics": one} for loss, one in zip((3, 2, 1), metrics, strict=True)]
    )
    assert [*found] == ["a", "b", "loss"]
    assert found["b"] == {"mean": 3, "deviation": 7**0.5, "min": 1, "max": 6, "values": [1, 2, 6]}
    assert (found["a"]["mean"], found["a"]["deviation"]) == (pytest.approx(0.7), pytest.approx(0.2))


@pytest.mark.parametrize("resume", [["--resume"], ["--resume", "auto"]])
def test_an_interrupted_one_goes_on_with_those_that_have_not_ended(
    resume: list[str], config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", config, "run.name=whole"]) == 0
    with monkeypatch.context() as patched:
        stop_after(6 + 3, patched)  # each training has 6
        assert main(["train", config, "train.log_every=5"]) == 130
    assert f"to continue: python -m finetune train {config} train.log_every=5 --resume" in capsys.readouterr().out
    assert [run.is_dir() for run in RUNS] == [True, True, False]
    assert not Path("runs/config-seeds.json").exists()
    first = {path: path.stat().st_mtime_ns for path in RUNS[0].rglob("*") if path.is_file()}
    assert main(["train", config, "train.log_every=5", *resume]) == 0
    shown = capsys.readouterr().out
    assert f"{RUNS[0]} has already ended" in shown
    assert f"resuming from {RUNS[1]}/checkpoints/step-3" in shown
    assert {path: path.stat().st_mtime_ns for path in first} == first
    for run in RUNS:
        assert weights(run) == weights(Path(str(run).replace("config", "whole")))
    one, other = (json.loads(Path(f"runs/{name}-seeds.json").read_text()) for name in ("whole", "config"))
    assert one["splits"] == other["splits"]


def test_seeds_can_be_added_and_tests_are_summarized(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", config, "train.seeds=[3, 1]"]) == 0
    for run in RUNS[:2]:
        assert main(["evaluate", str(run)]) == 0
    assert main(["train", config, "--resume"]) == 0
    found = json.loads(Path("runs/config-seeds.json").read_text())
    assert [*found["splits"]] == ["validation"], "one of them is not evaluated on the test data"
    assert main(["evaluate", str(RUNS[2])]) == 0
    capsys.readouterr()
    assert main(["train", config, "--resume"]) == 0
    assert "test: 3 seeds of config" in capsys.readouterr().out
    found = json.loads(Path("runs/config-seeds.json").read_text())
    assert [*found["splits"]] == ["validation", "test"]
    assert len(found["splits"]["test"]["loss"]["values"]) == 3


@needs("compare")
def test_compare_sees_the_seeds_of_one_config(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", config]) == 0
    capsys.readouterr()
    assert main(["compare", *map(str, RUNS), "--split", "validation", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["settings"] == {"train.seed": [3, 1, 2]}
    [group] = found["seeds"]
    assert group["runs"] == [run.name for run in RUNS]
    ours = json.loads(Path("runs/config-seeds.json").read_text())["splits"]["validation"][found["headline"]]
    assert (group["mean"], group["deviation"]) == (ours["mean"], ours["deviation"])


def test_without_validation_data_there_is_nothing_to_summarize(project: Project) -> None:
    config = project.config(TASK, train={"seeds": [1, 2]}, data={"validation": None, "test": None})
    assert main(["train", str(config)]) == 0
    assert json.loads(Path("runs/config-seeds.json").read_text())["splits"] == {}


def test_the_same_command_twice_is_refused(config: str, refused: Callable[..., str]) -> None:
    with RunFolder(Path("runs/config")).claimed():
        assert refused("train", config) == (
            "runs/config: another training is writing here: wait for it, or choose another name with run.name=..."
        )
    assert not RUNS[0].exists()


def test_what_cannot_be_resumed_is_refused(config: str, refused: Callable[..., str]) -> None:
    assert refused("train", config, "--resume") == (
        "runs/config-seed3: there is no such run to resume: start without --resume"
    )
    assert main(["train", config, "train.max_steps=1"]) == 0
    assert "runs/config-seed3: train.max_steps was 1 when the run was started" in refused("train", config, "--resume")


REFUSED = {
    "[1]": "'train.seeds' is [1]: tuple should have at least 2 items after validation, not 1",
    "[1, 2, 1]": "seeds has 1 twice: each seed is a run of its own, so name it once",
    "[1, -1]": "'train.seeds.1' is -1: input should be greater than or equal to 0",
    "[1, true]": "'train.seeds.1' is true: input should be a valid integer",
    "3": "'train.seeds' is 3: input should be a valid tuple",
}


@pytest.mark.parametrize("given", REFUSED)
def test_wrong_lists_are_refused(given: str, project: Project, refused: Callable[..., str]) -> None:
    assert REFUSED[given] in refused("train", project.config(TASK), f"train.seeds={given}")


def test_a_seed_beside_them_must_be_one_of_them(project: Project, refused: Callable[..., str]) -> None:
    config = project.config(TASK, train={"seed": 7, "seeds": [1, 2]})
    assert ":14: seed is 7, which is none of train.seeds: remove one of the two keys" in refused("train", config)
    assert load_config(config, ["train.seed=2"]).train.seeds == (1, 2)


@needs("continual")
def test_stages_are_one_sequence(project: Project, refused: Callable[..., str]) -> None:
    data = {"train": "moods.jsonl"}
    stages: Any = [{"name": name, "data": {**data, "test": "moods.jsonl"}} for name in "ab"]
    config = project.write(
        "stages.yaml", json.dumps({"task": {"type": TASK}, "model": {"name": "tiny:bert"}, "stages": stages})
    )
    said = (
        "train.seeds is set beside stages, which are one sequence of trainings: remove it, and start the sequence once"
    )
    assert said in refused("train", config, "train.seeds=[1, 2]")
