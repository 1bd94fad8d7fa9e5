"""Model selection: which validation is the best, when early stopping counts, and how the metric is named in the log."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import METRICS, TASKS, Project, build

from finetune.config.load import load_config
from finetune.run.history import read_history
from finetune.train.checkpoint import TrainingState
from finetune.train.selection import Selection, make_selection


def outcomes(
    selection: Selection, *values: tuple[float, float], state: TrainingState | None = None
) -> list[bool | int]:
    """For validations with these values of the metric and the loss: True if the best so far, else how many count."""
    state = state or TrainingState()
    return [selection.update(state, {"m": value, "loss": loss}) or state.stale for value, loss in values]


def test_the_highest_or_the_lowest_is_the_best() -> None:
    values = [(0.5, 1.0), (0.6, 9.0), (0.4, 0.1), (0.6, 9.0), (0.7, 9.0)]
    assert outcomes(Selection("m", "m", lower_is_better=False), *values) == [True, True, 1, 2, True]
    assert outcomes(Selection("m", "m", lower_is_better=True), *values) == [True, 1, True, 1, 2]


def test_where_the_metric_ties_the_lower_loss_is_the_best() -> None:
    values = [(0.5, 1.0), (0.5, 0.9), (0.5, 0.9), (0.5, 0.95), (0.5, 0.8)]
    assert outcomes(Selection("m", "m", lower_is_better=False), *values) == [True, True, 1, 2, True]
    by_loss = [True, True, 1, 2, True]
    assert outcomes(Selection("loss", "loss", lower_is_better=True), *values) == by_loss


def test_validations_count_once_the_baseline_is_beaten() -> None:
    values = [(0.9, 0.5), (0.9, 0.6), (0.8, 0.7), (0.95, 0.7), (0.9, 0.1), (0.94, 0.1)]
    assert outcomes(Selection("m", "m", False, baseline=0.9), *values) == [True, 0, 0, True, 1, 2]
    values = [(20.0, 3.0), (30.0, 3.0), (9.0, 2.0), (10.0, 2.0)]
    assert outcomes(Selection("m", "m", True, baseline=10.0), *values) == [True, 0, True, 1]


def test_what_is_no_number_is_the_worst() -> None:
    nan = math.nan
    assert outcomes(Selection("m", "m", True), (nan, nan), (nan, nan), (5.0, nan), (nan, nan)) == [True, 1, True, 1]


@pytest.mark.parametrize("task", TASKS)
def test_every_metric_of_a_task_can_choose(task: str, project: Project) -> None:
    setup = build(load_config(project.config(task, train={"patience": 1}), ["train.device=cpu"]))
    settings, metrics = setup.task.settings, {"loss": "min"} | setup.task.settings.metrics
    assert setup.selection.metric == settings.selection_metric
    for metric, direction in metrics.items():
        config = load_config(project.config(task), [f"train.metric={metric}", "train.patience=1"])
        selection = make_selection(config, setup.task, setup.validation)
        assert (selection.metric, selection.logged) == (metric, metric)
        assert selection.lower_is_better == (direction == "min")
        known = metric != "loss" and not (settings.text_metrics and metric in ("perplexity", "token_accuracy"))
        assert (selection.baseline is not None) == known, "a baseline of texts has no probabilities"


@pytest.mark.parametrize("task", TASKS)
def test_the_step_with_the_best_value_of_that_metric_is_kept(task: str, project: Project) -> None:
    """The last metric of each task, which is none that chooses by default."""
    *_, metric = METRICS[task]
    project.train(project.config(task, train={"metric": metric, "eval_every": 1, "max_steps": 4, "seed": 3}))
    validations = [line for line in project.metrics("config") if line["kind"] == "validation"]
    sign = -1 if load_config(project.config(task)).task.metrics[metric] == "min" else 1
    expected = max(validations, key=lambda line: (sign * line[metric], -line["loss"]))
    assert [line["step"] for line in validations if line["best"]][-1] == expected["step"]
    assert json.loads(Path("runs/config/environment.json").read_text())["metric"] == metric


def test_the_weakest_baseline_counts(project: Project) -> None:
    """Of a word's most frequent tag and O for every word."""
    setup = build(load_config(project.config("token-classification"), ["train.patience=1", "train.device=cpu"]))
    assert setup.selection.baseline == 0


def test_an_unknown_metric_is_refused(project: Project, refused: Callable[..., str]) -> None:
    assert refused("train", project.config("text-classification"), "train.metric=auc") == (
        "argument 'train.metric=auc': train.metric is auc, which text-classification does not have: choose one of "
        "accuracy, f1_macro, f1_micro, f1_weighted, mcc, loss"
    )
    assert "choose one of bleu, chrf, perplexity, token_accuracy, loss" in refused(
        "train", project.config("translation"), "train.metric=accuracy"
    )


def test_metrics_of_a_part_of_the_texts_are_named_so(project: Project) -> None:
    """Texts are generated for two of four; the perplexity is that of all."""
    texts = "task.generation={max_new_tokens: 3, validation_examples: 2}"
    config = project.config("translation", train={"max_steps": 2, "eval_every": 1, "patience": 1})
    project.train(config, texts, "train.metric=chrf")
    record = next(line for line in project.metrics("config") if line["kind"] == "validation")
    names = ["chrf_first_2", "bleu_first_2", "perplexity", "token_accuracy"]
    assert [*record] == ["kind", "step", "epoch", "loss", *names, "best"]
    assert read_history(project.folder / "runs/config/metrics.jsonl").first_metric() == "chrf_first_2"
    project.train(config, texts.replace("2}", "4}"))
    assert "bleu" in project.metrics("config")[-1]
