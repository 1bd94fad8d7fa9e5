"""`compare`: runs on the same rows, and what cannot be compared."""

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import QUIET, Project, filled
from safetensors.numpy import load_file, save_file

from finetune.cli import main
from finetune.compare.seeds import spread
from finetune.evaluate import evaluate
from finetune.run.folder import RunFolder
from finetune.tasks.intervals import mcnemar

TASK = "text-classification"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, _finished_projects: Callable[[str], Path]) -> Path:
    """Three runs of one model, as if b had another seed than a, and c another learning rate."""
    folder = tmp_path_factory.mktemp("compared")
    filled(folder)
    shutil.copytree(_finished_projects(TASK) / "runs/config", folder / "runs/a")
    with contextlib.chdir(folder):
        evaluate(RunFolder(Path("runs/a")), "test", None, QUIET)
        for name, section, key, value in (("b", "train", "seed", 2), ("c", "optim", "lr", 1e-2)):
            shutil.copytree("runs/a", f"runs/{name}")
            config = json.loads(Path("runs/a/config.json").read_text())
            config[section][key] = value
            Path(f"runs/{name}/config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def runs(trained: Path, project: Project) -> Project:
    """The runs in a project of their own."""
    shutil.copytree(trained / "runs", project.folder / "runs")
    return project


@pytest.fixture
def compared(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Run `compare --json`; returns its document."""

    def run(*arguments: str) -> dict[str, Any]:
        capsys.readouterr()
        assert main(["compare", *arguments, "--json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return run


def make_right(run: str, right: list[int]) -> None:
    """Let an evaluation of 10 rows say which of them are right."""
    folder = Path("runs") / run
    contributions = np.stack([np.array(right, float), np.ones(len(right))], 1)
    save_file({"contributions": contributions}, folder / "evaluation-test.safetensors")
    evaluation = json.loads((folder / "evaluation-test.json").read_text())
    metrics = {**evaluation["metrics"], "accuracy": sum(right) / len(right)}
    changes = {"metrics": metrics, "examples": len(right), "fingerprint": "same"}
    (folder / "evaluation-test.json").write_text(json.dumps({**evaluation, **changes}))


def test_settings_metrics_and_differences(runs: Project, compared: Callable[..., dict[str, Any]]) -> None:
    better = [0] * 9 + [1] * 31
    make_right("a", [1] * 20 + [0] * 20)
    make_right("b", better)
    make_right("c", [0] * 20 + [1] * 20)
    found = compared("runs/a", "runs/b", "runs/c")
    assert found["settings"] == {"train.seed": [42, 2, 42], "optim.lr": [1e-3, 1e-3, 1e-2]}
    assert [run["metrics"]["accuracy"] for run in found["runs"]] == [0.5, 31 / 40, 0.5]
    assert (found["split"], found["headline"], found["test"], found["correction"]) == (
        "test", "accuracy", "mcnemar", "holm",
    )  # fmt: skip
    b, c = found["differences"]
    p = mcnemar(np.array([1] * 20 + [0] * 20, bool), np.array(better, bool))
    assert (b["run"], b["difference"], b["p"]) == ("b", pytest.approx(11 / 40), pytest.approx(2 * p))
    assert b["interval"][0] <= b["difference"] <= b["interval"][1]
    assert (c["run"], c["difference"], c["p"], c["verdict"]) == ("c", 0, 1, "not significant")
    [seeds] = found["seeds"]
    assert seeds["runs"] == ["a", "b"]
    assert seeds["mean"] == pytest.approx((0.5 + 31 / 40) / 2)
    assert Path(found["picture"]).samefile("runs/comparison.svg")


def test_a_clear_difference_is_one(
    runs: Project, compared: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    make_right("a", [1] * 20 + [0] * 20)
    make_right("b", [1] * 35 + [0] * 5)
    for pair, verdict, sign in ((("a", "b"), "better", 1), (("b", "a"), "worse", -1)):
        found = compared(*(f"runs/{run}" for run in pair))
        [one] = found["differences"]
        assert (one["verdict"], one["difference"]) == (verdict, pytest.approx(sign * 15 / 40))
        assert found["correction"] is None
    assert main(["compare", "runs/a", "runs/b", "--output", "picture.svg"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    low, high = one["interval"]
    assert "Settings that differ a b" in shown
    assert "train.seed 42 2" in shown
    interval = f"95 % interval {-high:.4f} to {-low:.4f}"
    assert f"Result: b is better than a (accuracy +0.3750, {interval}, p < 0.0001" in shown
    assert "McNemar's exact test" in shown
    assert "Over seeds: a, b" in shown
    assert "curves: picture.svg" in shown
    assert Path("picture.svg").is_file()


def test_without_names_the_two_newest_are_compared(runs: Project, compared: Callable[..., dict[str, Any]]) -> None:
    for number, name in enumerate("bca"):
        for file in ("config.json", "metrics.jsonl"):
            os.utime(f"runs/{name}/{file}", (number, number))
    assert compared()["names"] == ["c", "a"]
    shutil.copytree("runs/a", "other/a")
    assert compared("runs/a", "other/a")["names"] == ["runs/a", "other/a"]


def test_missing_evaluations_are_made(runs: Project, compared: Callable[..., dict[str, Any]]) -> None:
    expected = compared("runs/a", "runs/b")
    evaluation = Path("runs/b/evaluation-test.json")
    evaluated = json.loads(evaluation.read_text())
    damaged = {**evaluated, "loss": 9.0}
    contributions = load_file("runs/b/evaluation-test.safetensors")["contributions"]
    for way in ("missing", "earlier version", "no contributions", "older than the model"):
        match way:
            case "missing":
                evaluation.unlink()
            case "earlier version":
                evaluation.write_text(json.dumps({k: v for k, v in damaged.items() if k != "fingerprint"}))
            case "no contributions":
                Path("runs/b/evaluation-test.safetensors").unlink()
            case _:
                evaluation.write_text(json.dumps(damaged))
                os.utime(evaluation, (1, 1))
        assert compared("runs/a", "runs/b") == expected, way
        found = json.loads(evaluation.read_text())
        assert {**found, "tables": []} == {**evaluated, "tables": []}, "a table names the folder of the run"
    assert (load_file("runs/b/evaluation-test.safetensors")["contributions"] == contributions).all()


def test_a_split_and_another_file(runs: Project, compared: Callable[..., dict[str, Any]]) -> None:
    assert compared("runs/a", "runs/b", "--split", "train")["runs"][0]["data"] == "train.jsonl"
    assert compared("runs/a", "runs/b", "--data", "train.jsonl")["split"] == "comparison"
    config = json.loads(Path("runs/b/config.json").read_text())
    config["data"]["test"] = None
    Path("runs/b/config.json").write_text(json.dumps(config))
    assert compared("runs/a", "runs/b")["split"] == "validation"


def test_what_cannot_be_compared(runs: Project, refused: Callable[..., str], finished: Callable[[str], None]) -> None:
    assert "one run alone cannot be compared" in refused("compare", "runs/a")
    assert "runs/a is named twice: name another run" in refused("compare", "runs/a", "runs/b", "runs/../runs/a")
    assert "is not the folder of a run" in refused("compare", "runs/a", "runs/none")
    assert "data.other is not set" in refused("compare", "runs/a", "runs/b", "--split", "other")
    assert "name another --output" in refused("compare", "runs/a", "runs/b", "--output", "runs/a/config.json/x.svg")
    finished("regression")
    sentence = f"config and a have different tasks, regression and {TASK}: compare runs of one task"
    assert sentence in refused("compare", "runs/a", "runs/config")
    make_right("a", [1, 0, 1, 0, 1])
    assert "b and a were scored on different rows: evaluate all of them on one file" in refused(
        "compare", "runs/a", "runs/b"
    )
    make_right("b", [1, 0, 1, 0])
    evaluation = json.loads(Path("runs/b/evaluation-test.json").read_text())
    Path("runs/b/evaluation-test.json").write_text(json.dumps({**evaluation, "examples": 5}))
    assert "is not that of 5 examples: remove it and evaluate again" in refused("compare", "runs/a", "runs/b")
    make_right("b", [1, 1, 1, 0, 1])
    evaluation["metrics"]["accuracy"] = 0.1
    Path("runs/b/evaluation-test.json").write_text(json.dumps({**evaluation, "examples": 5}))
    assert "does not give its accuracy: evaluate it again" in refused("compare", "runs/a", "runs/b")


def test_one_run_alone(project: Project, refused: Callable[..., str], finished: Callable[[str], None]) -> None:
    """What is missing is said, with the command."""
    assert "there is no run with a model yet: train another one, such as `python" in refused("compare")
    finished(TASK)
    assert "there is only one run with a model, runs/config: train another one, such as" in refused("compare")


def test_data_of_the_same_name_that_have_changed_differ(runs: Project, compared: Callable[..., dict[str, Any]]) -> None:
    """As after the correction of labels."""
    environment = json.loads(Path("runs/b/environment.json").read_text())
    environment["data"]["train.jsonl"] = "f" * 64
    Path("runs/b/environment.json").write_text(json.dumps(environment))
    found = compared("runs/a", "runs/b")
    assert found["settings"]["SHA-256 of train.jsonl"][1] == "f" * 12
    assert found["seeds"] == []


def test_spread_by_hand() -> None:
    """Of 1, 2, 3: t = 4.303 with two degrees of freedom."""
    found = spread([1.0, 2.0, 3.0])
    assert (found["mean"], found["deviation"]) == (2, 1)
    assert found["interval"] == pytest.approx([2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5], abs=1e-4)


@pytest.mark.usefixtures("drawn")
def test_the_picture_has_a_line_for_each_run(runs: Project, compared: Callable[..., dict[str, Any]]) -> None:
    picture = Path(compared("runs/a", "runs/b")["picture"]).read_text()
    for text in ("Training loss", "Validation loss", "f1_macro on validation", ">a<", ">b<"):
        assert text in picture
