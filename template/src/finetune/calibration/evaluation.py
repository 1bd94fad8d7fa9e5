"""What an evaluation says about the probabilities of a task."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ..data.features import Feature
from ..tasks.base import Task
from ..tasks.intervals import Array
from ..tasks.probabilities import ProbabilityTask, softmax
from ..tasks.results import Table
from . import measures

PRECISIONS = (0.95, 0.99)
"""For which a threshold is shown."""
POINTS = 100
"""Of the curve of risk by coverage."""
MEASURES = {
    "ece": "ECE",
    "ece_adaptive": "ECE, bins of equal size",
    "aurc": "AURC",
    "brier": "Brier score",
    "nll": "NLL",
}
NOTE = (
    "Lower is better. Expected calibration error, area under risk by coverage: of {answers} answers; Brier score, "
    "negative log-likelihood: of {scored} labels. Temperature 1: as trained."
)
PRECISION_NOTE = (
    "The least --min-confidence whose precision is the wanted one by a lower bound (Clopper-Pearson, 95 %). Coverage: "
    "the share of the answers that are given."
)


def measure(
    task: Task[Any, Any],
    examples: Sequence[Any],
    features: Sequence[Feature],
    decoded: Sequence[Any],
    predictions: Sequence[Any],
) -> dict[str, Any] | None:
    """The key `calibration` of an evaluation; None for a task without probabilities.

    `before` is at a temperature of 1, `after` at that of the task, of which the `predictions` are.
    """
    if not isinstance(task, ProbabilityTask):
        return None
    logits, true = task.labelled_logits(examples, features, decoded)
    found: dict[str, Any] = {"temperature": task.temperature, "scored": len(true)}
    as_trained = task.at_temperature(1.0)
    for name, one, made in (
        ("before", as_trained, as_trained.predictions(examples, features, decoded)),
        ("after", task, predictions),
    ):
        confidence, right = one.answers(examples, made)
        found[name] = {
            **(_of_answers(confidence, right) if len(right) else {}),
            "brier": measures.brier_score(softmax(logits, one.temperature), true),
            "nll": measures.negative_log_likelihood(logits.astype(np.float64) / one.temperature, true),
        }
    thresholds = [measures.threshold_for(precision, confidence, right) for precision in PRECISIONS if len(right)]
    return {
        **found,
        "answers": len(right),
        "thresholds": [asdict(threshold) for threshold in thresholds if threshold],
    }


def _of_answers(confidence: Array, right: measures.Right) -> dict[str, Any]:
    bins = measures.bins(confidence, right)
    _, coverage, risk = measures.risk_by_coverage(confidence, right)
    shown = np.unique(np.linspace(0, len(coverage) - 1, POINTS).astype(int))
    return {
        "ece": measures.expected_calibration_error(bins),
        "ece_adaptive": measures.expected_calibration_error(measures.adaptive_bins(confidence, right)),
        "aurc": measures.area_under_risk(coverage, risk),
        "bins": [asdict(one) for one in bins],
        "coverage": coverage[shown].tolist(),
        "risk": risk[shown].tolist(),
    }


def tables(calibration: dict[str, Any]) -> list[Table]:
    """The measures before and after temperature scaling, and the thresholds that were found."""
    measured = {1.0: calibration["before"], calibration["temperature"]: calibration["after"]}
    columns = {name: shown for name, shown in MEASURES.items() if name in calibration["after"]}
    rows: list[list[str | int | float]] = [
        [f"{temperature:.3f}", *(values[name] for name in columns)] for temperature, values in measured.items()
    ]
    note = NOTE.format(answers=f"{calibration['answers']:,}", scored=f"{calibration['scored']:,}")
    found = [Table("Calibration", ["temperature", *columns.values()], rows, note)]
    if chosen := calibration["thresholds"]:
        names = {"precision": "wanted", "confidence": "--min-confidence", "coverage": "coverage", "found": "precision"}
        cells: list[list[str | int | float]] = [[threshold[name] for name in names] for threshold in chosen]
        found.append(Table("Precision by confidence", [*names.values()], cells, PRECISION_NOTE))
    return found
