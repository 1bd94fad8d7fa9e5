"""Measures of calibration on distributions with a known answer, and what evaluation and report show of them."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import Project, needs
from scipy.special import expit, softmax
from scipy.stats import beta
from sklearn import metrics

from finetune.calibration import measures
from finetune.calibration.evaluation import tables
from finetune.calibration.measures import Bin
from finetune.cli import main

CALIBRATED = ["text-classification", "multi-label-classification", "token-classification"]
FILE = Path("runs/config/evaluation-validation.json")


def answers(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities from 0.5 to 1, and answers that are right as often as these say."""
    draw = np.random.default_rng(seed)
    confidence = draw.uniform(0.5, 1, rows)
    return confidence, draw.random(rows) < confidence


def of(*pairs: tuple[float, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """For each probability so many right and so many wrong answers."""
    confidence = np.concatenate([np.full(right + wrong, share) for share, right, wrong in pairs])
    return confidence, np.concatenate([[True] * right + [False] * wrong for _, right, wrong in pairs])


def test_calibrated_probabilities_have_no_error() -> None:
    confidence, right = answers(200_000)
    assert measures.expected_calibration_error(measures.bins(confidence, right)) < 0.005
    assert measures.expected_calibration_error(measures.adaptive_bins(confidence, right)) < 0.005
    assert measures.expected_calibration_error(measures.bins(np.sqrt(confidence), right)) == pytest.approx(
        float(np.mean(np.sqrt(confidence) - confidence)), abs=0.005
    ), "too certain by this much"


def test_bins_by_hand() -> None:
    """Bins of a fifteenth: 0.9 and 0.93 share (13/15, 14/15], 1 is in the last, and 1/15 in the first."""
    confidence, right = of((0.9, 3, 1), (0.93, 2, 0), (1.0, 1, 1), (1 / 15, 0, 2))
    found = measures.bins(confidence, right)
    assert found == [
        Bin(pytest.approx(1 / 15), 0, 2),
        Bin(pytest.approx(0.91), pytest.approx(5 / 6), 6),
        Bin(1, 0.5, 2),
    ]
    by_hand = (2 * (1 / 15) + 6 * (0.91 - 5 / 6) + 2 * 0.5) / 10
    assert measures.expected_calibration_error(found) == pytest.approx(by_hand)
    assert measures.bins(np.array([0.0]), np.array([False])) == [Bin(0, 0, 1)]


def test_bins_of_equal_size_do_not_depend_on_the_order() -> None:
    confidence, right = of((0.9, 40, 5), (0.95, 20, 10), (0.99, 75, 0))
    found = measures.adaptive_bins(confidence, right)
    assert {one.count for one in found} == {10}
    order = np.random.default_rng(0).permutation(len(right))
    assert measures.adaptive_bins(confidence[order], right[order]) == found
    assert [one.count for one in measures.adaptive_bins(confidence[:3], right[:3])] == [1, 1, 1]


def test_brier_score_and_likelihood() -> None:
    """Right with 0.8, wrong with 0.6 of two labels: 0.04 and 0.36; three labels: the squares of all are added."""
    probabilities, true = np.array([[0.8, 0.2], [0.6, 0.4]]), np.array([0, 1])
    assert measures.brier_score(probabilities, true) == pytest.approx((0.04 + 0.36) / 2)
    three, wrong = np.array([[0.5, 0.3, 0.2]]), np.array([1])
    assert measures.brier_score(three, wrong) == pytest.approx(0.25 + 0.49 + 0.04)
    assert measures.negative_log_likelihood(np.log(three) + 7, wrong) == pytest.approx(-math.log(0.3))
    assert measures.negative_log_likelihood(np.array([[2000.0, 0.0]]), np.array([1])) == 2000
    draw = np.random.default_rng(0)
    logits, true = draw.standard_normal(500), draw.integers(0, 2, 500)
    pairs = np.stack([np.zeros(500), logits], -1)
    assert measures.brier_score(softmax(pairs, -1), true) == pytest.approx(
        metrics.brier_score_loss(true, expit(logits))
    )
    assert measures.negative_log_likelihood(pairs, true) == pytest.approx(metrics.log_loss(true, expit(logits)))


def test_risk_by_coverage() -> None:
    """Equal probabilities are given together; with one probability alone, the area is the share of wrong answers."""
    confidence, right = of((0.9, 3, 1), (0.7, 1, 3), (0.99, 2, 0))
    least, coverage, risk = measures.risk_by_coverage(confidence, right)
    assert (least.tolist(), coverage.tolist()) == ([0.99, 0.9, 0.7], pytest.approx([0.2, 0.6, 1.0]))
    assert risk == pytest.approx([0, 1 / 6, 4 / 10])
    assert measures.area_under_risk(coverage, risk) == pytest.approx(0.4 / 6 + 0.4 * 0.4)
    _, coverage, risk = measures.risk_by_coverage(*of((0.7, 8, 2)))
    assert measures.area_under_risk(coverage, risk) == pytest.approx(0.2)
    _, coverage, risk = measures.risk_by_coverage(*answers(100_000))
    assert measures.area_under_risk(coverage, risk) == pytest.approx(0.125, abs=0.005), "(1 - 0.5) / 4"


def test_a_threshold_has_its_precision_by_its_lower_bound() -> None:
    """59 right answers have a lower bound of 95 %, 58 do not."""
    assert measures.threshold_for(0.95, *of((0.9, 58, 0))) is None
    assert measures.threshold_for(0.95, *of((0.9, 59, 0))) == measures.Threshold(0.95, 0.9, 1.0, 1.0)
    assert measures.threshold_for(0.95, *of((0.9, 0, 5))) is None
    confidence, right = answers(20_000)
    for wanted in (0.95, 0.99):
        threshold = measures.threshold_for(wanted, confidence, right)
        assert threshold
        given = right[confidence >= threshold.confidence]
        assert (len(given) / len(right), given.mean()) == pytest.approx((threshold.coverage, threshold.found))
        assert beta.ppf(0.05, given.sum(), len(given) - given.sum() + 1) >= wanted
        assert threshold.found >= wanted
    assert measures.threshold_for(0.9, confidence, right).confidence < threshold.confidence  # type: ignore[union-attr]


def test_a_threshold_is_shown_with_all_of_its_digits() -> None:
    """What --min-confidence 0.8712 gives is what was counted."""
    confidence, right = of((0.87123456, 100, 0), (0.87119999, 0, 100))
    threshold = measures.threshold_for(0.95, confidence, right)
    assert threshold == measures.Threshold(0.95, 0.8712, 0.5, 1.0)


@pytest.mark.parametrize("task", CALIBRATED)
def test_an_evaluation_has_it(task: str, finished: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    finished(task)
    assert main(["evaluate", "runs/config", "--split", "validation"]) == 0
    shown, content = capsys.readouterr().out, json.loads(FILE.read_text())
    found = content["calibration"]
    state = json.loads(Path("runs/config/best/finetune.json").read_text())["state"]
    assert found["temperature"] == state["temperature"] != 1
    assert found["after"]["nll"] < found["before"]["nll"]
    assert found["scored"] >= content["examples"]
    if task != "multi-label-classification":  # whose loss is the mean over labels, which here is no other number
        assert found["before"]["nll"] == pytest.approx(content["loss"], abs=1e-5)
    assert "Calibration" in shown
    assert "Brier" in shown
    titles = [table["title"] for table in content["tables"]]
    assert "Calibration" in titles
    if task == "text-classification":
        assert found["answers"] == content["examples"]
        assert sum(one["count"] for one in found["after"]["bins"]) == found["answers"]


def test_a_task_without_probabilities_has_none(finished: Callable[[str], None]) -> None:
    finished("regression")
    assert "calibration" not in json.loads(FILE.read_text())


def test_without_answers_there_are_the_measures_of_labels() -> None:
    values: dict[str, Any] = {"brier": 0.1, "nll": 0.2}
    content = {"temperature": 1.0, "scored": 9, "answers": 0, "before": values, "after": values, "thresholds": []}
    (table,) = tables(content)
    assert (table.columns, table.rows) == (["temperature", "Brier score", "NLL"], [["1.000", 0.1, 0.2]])


@needs("report")
@pytest.mark.usefixtures("drawn")
def test_the_report_draws_it(finished: Callable[[str], None], project: Project) -> None:
    finished("text-classification")
    assert main(["report", "runs/config"]) == 0
    report = Path("runs/config/report")
    page = (report / "index.html").read_text()
    assert all(f"<h3>{title}</h3>" in page for title in ("Reliability diagram", "Risk by coverage"))
    temperature = json.loads(FILE.read_text())["calibration"]["temperature"]
    texts = {element.text for element in ElementTree.parse(report / "reliability-validation.svg").iter()}
    assert any(str(text).startswith(f"temperature {temperature:.3f}: ECE") for text in texts)
    assert any(str(text).startswith("as trained: ECE") for text in texts)
    assert (report / "coverage-validation.svg").is_file()
    content = json.loads(FILE.read_text())
    del content["calibration"]
    FILE.write_text(json.dumps(content))
    assert main(["report", "runs/config"]) == 0
    assert not (report / "coverage-validation.svg").exists(), "a plot of earlier that is drawn no more"


@needs("report")
@pytest.mark.parametrize(
    "damaged", [{"temperature": "warm"}, {"after": {"coverage": [0.5], "risk": []}}, {"before": 1}]
)
def test_a_damaged_one_is_refused(
    damaged: dict[str, Any], finished: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    finished("text-classification")
    content = json.loads(FILE.read_text())
    content["calibration"] |= damaged
    FILE.write_text(json.dumps(content))
    assert main(["report", "runs/config"]) == 2
    assert f"evaluation-validation.json: calibration.{next(iter(damaged))}" in capsys.readouterr().err
