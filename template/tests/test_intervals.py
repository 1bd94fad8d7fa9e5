"""Intervals of the main metrics: of each task, against other ways to compute them, and where the answer is known."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import METRICS, TASKS, Project, build
from safetensors.numpy import save
from scipy.stats import binom
from scipy.stats import bootstrap as scipy_bootstrap

from finetune import optional
from finetune.cli import main
from finetune.config.load import load_config
from finetune.errors import UserError
from finetune.run.contributions import NAME, read_contributions
from finetune.run.folder import RunFolder
from finetune.tasks import intervals
from finetune.tasks.generative import Generated
from finetune.tasks.intervals import Array, bootstrap, holm, mcnemar, paired, ratio

RANDOM = np.random.default_rng(1)
"""Sown again for each test."""


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    RANDOM.bit_generator.state = np.random.default_rng(1).bit_generator.state


def mean(sums: Array) -> Array:
    """Of contributions (value, 1)."""
    return ratio(sums[..., 0], sums[..., 1])


def with_ones(values: Any) -> Array:
    return np.stack([np.asarray(values, dtype=float), np.ones(len(values))], 1)


def predicted(task: str, project: Project) -> tuple[Any, list[Any], list[Any]]:
    """A task, 3 copies of its training examples, and predictions of which some are wrong."""
    setup = build(load_config(project.config(task, train={"device": "cpu"})))
    examples = [*setup.train.examples] * 3
    size = len(examples)
    match task:
        case "text-classification" | "multi-label-classification":
            decoded = RANDOM.dirichlet(np.ones(len(setup.task.labels)), size).tolist()
        case "regression":
            decoded = RANDOM.normal(size=size).tolist()
        case "ranking":
            return setup.task, examples, [RANDOM.normal(size=len(example.documents)) for example in examples]
        case "retrieval":  # queries with the same text count once
            examples = [replace(example, query=f"{example.query} {i}") for i, example in enumerate(examples)]
            decoded = RANDOM.normal(size=(3 * len(setup.train.features), 5))
        case "token-classification":  # I- also without B-
            predictions, *_ = setup.task.baselines(examples, []).values()
            for prediction in predictions:
                prediction.tags[:] = RANDOM.choice(setup.task.labels, len(prediction.tags)).tolist()
            return setup.task, examples, predictions
        case "text-generation" | "chat":
            return setup.task, examples, [Generated(float(RANDOM.uniform(1, 90)), 9 + i, i) for i in range(size)]
        case _:
            texts = [" ".join(example.target.split()[i % 2 :]) + " oh" * (i % 3) for i, example in enumerate(examples)]
            return setup.task, examples, [Generated(text=text) for text in texts]
    features = [type(setup.train.features[0])(i, {}, [], 0) for i in range(size)]
    return setup.task, examples, setup.task.predictions(examples, features, decoded)


@pytest.mark.parametrize("task", TASKS)
def test_the_main_metric_is_a_function_of_sums(task: str, project: Project) -> None:
    one, examples, predictions = predicted(task, project)
    contributions = one.contributions(examples, predictions)
    assert len(contributions) == len(examples)
    value = one.score(examples, predictions).metrics[METRICS[task][0]]
    assert float(one.headline(contributions.sum(0))) == pytest.approx(value, rel=1e-12, abs=1e-12)
    assert one.has_headline(contributions, value)
    assert not one.has_headline(contributions, value + 0.01), "another metric has another value"
    low, high = one.interval(contributions, value)
    assert low < value < high
    assert one.interval(contributions[:1], float(one.headline(contributions[0]))) is None
    alike = contributions[[0] * 9]
    assert one.interval(alike, float(one.headline(alike.sum(0)))) is None, "nothing tells how far it may be off"


@pytest.mark.parametrize("task", TASKS)
def test_a_resample_is_scored_as_its_examples_are(task: str, project: Project) -> None:
    """Drawing contributions is drawing examples, and calling `score` on them: the same value, and the same spread."""
    one, examples, predictions = predicted(task, project)
    contributions = one.contributions(examples, predictions)
    draws = RANDOM.integers(0, len(examples), (2000, len(examples)))
    for draw in draws[:3]:
        drawn = [examples[i] for i in draw]
        if task == "retrieval":  # queries with the same text count once
            drawn = [replace(example, query=f"{example.query} {i}") for i, example in enumerate(drawn)]
        value = one.score(drawn, [predictions[i] for i in draw]).metrics[one.main_metric]
        assert float(one.headline(contributions[draw].sum(0))) == pytest.approx(value, rel=1e-9, abs=1e-9)
    brute = one.headline(contributions[draws].sum(1))
    expected, found = np.quantile(brute, [0.025, 0.975]), bootstrap(contributions, one.headline, 2000)
    assert found == pytest.approx(expected, abs=0.25 * np.ptp(expected))


def test_constant_truth_has_no_r2(project: Project) -> None:
    """As scikit-learn decides: 0, and 1 for predictions without error; of one example 0."""
    task, [example, *_], _ = predicted("regression", project)
    for examples, predictions in (([example] * 3, [1.0, 2.0, 3.0]), ([example] * 3, [1.0] * 3), ([example], [1.0])):
        value = task.score(examples, predictions).metrics["r2"]
        assert float(task.headline(task.contributions(examples, predictions).sum(0))) == value


@pytest.mark.filterwarnings("ignore:data.train. no tag begins with B-")
def test_plain_tags_and_queries_without_relevant_documents(project: Project) -> None:
    project.write("train.conll", "a DET\nb NOUN\n\nb NOUN\na DET\nb VERB\n")
    project.write("validation.conll", "a DET\nb NOUN\n")
    task, examples, predictions = predicted("token-classification", project)
    value = task.score(examples, predictions).metrics["token_accuracy"]
    assert task.has_headline(task.contributions(examples, predictions), value)
    ranking, examples, predictions = predicted("ranking", project)
    examples[0].labels = [0.0] * len(examples[0].labels)
    value = ranking.score(examples, predictions).metrics["ndcg@10"]
    assert ranking.has_headline(ranking.contributions(examples, predictions), value)


def test_a_mean_has_the_interval_of_scipy() -> None:
    values = RANDOM.exponential(size=80)
    expected = scipy_bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=0).confidence_interval
    for most in (10_000, 10):  # exact draws, and draws from the normal distribution
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(intervals, "MOST_DISTINCT", most)
            found = bootstrap(with_ones(values), mean, 20_000)
        assert found == pytest.approx((expected.low, expected.high), abs=0.03)


def test_intervals_contain_the_truth_as_often_as_they_say() -> None:
    """Accuracy of 200 examples: 500 intervals of 95 %; the number that contain the truth is binomial."""
    truth = 0.8
    samples = RANDOM.random((500, 200)) < truth
    found = [bootstrap(with_ones(sample), mean, seed=i) for i, sample in enumerate(samples)]
    contained = sum(low <= truth <= high for low, high in found)
    assert binom.ppf(0.001, 500, 0.94) <= contained <= binom.ppf(0.999, 500, 0.96)


def test_differences_are_found_where_there_are_some() -> None:
    """Paired: without a difference, p is below 0.05 in about 5 % of samples; a clear one is always found."""
    hardness = RANDOM.random((200, 300))
    a, b, better = (
        hardness + RANDOM.normal(scale=0.2, size=hardness.shape) < limit for limit in (0.7, 0.7, 0.85)
    )  # correlated
    same = [paired(with_ones(one), with_ones(two), mean) for one, two in zip(a, b, strict=True)]
    false = sum(found.p < 0.05 for found in same)
    assert binom.ppf(0.001, 200, 0.03) <= false <= binom.ppf(0.999, 200, 0.07)
    assert all((found.p < 0.05) == (not found.low <= 0 <= found.high) for found in same if abs(found.p - 0.05) > 0.01)
    clear = [paired(with_ones(one), with_ones(two), mean, 400) for one, two in zip(a[:50], better[:50], strict=True)]
    assert all(found.p < 0.05 and found.difference > 0 < found.low for found in clear)
    rare = sum(mcnemar(one, two) < 0.05 for one, two in zip(a, b, strict=True))
    assert rare <= binom.ppf(0.999, 200, 0.05), "the exact test is never too bold"


def test_mcnemar_and_holm_by_hand() -> None:
    a, b = np.array([1, 1, 1, 1, 0, 0, 1], bool), np.array([0, 0, 0, 0, 1, 0, 1], bool)
    assert mcnemar(a, b) == pytest.approx(2 * (math.comb(5, 0) + math.comb(5, 1)) / 2**5)
    assert mcnemar(a, a) == 1
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]) == [1, 1]
    assert holm([]) == []


def test_large_files_cost_a_second_at_most() -> None:
    """100,000 examples, all different: the sums are drawn from the normal distribution."""
    values = RANDOM.normal(2, 3, 100_000)
    low, high = bootstrap(with_ones(values), mean)
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=half / 5)


def test_an_evaluation_has_its_interval_and_contributions(
    project: Project, finished: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    finished("text-classification")
    run = RunFolder(Path("runs/config"))
    capsys.readouterr()
    assert main(["evaluate", str(run.path)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    validation, test = (json.loads((run.path / f"evaluation-{split}.json").read_text())
                        for split in ("validation", "test"))  # fmt: skip
    assert validation["fingerprint"] == test["fingerprint"], "the same file"
    accuracy = test["metrics"]["accuracy"]
    contributions = read_contributions(run, test)
    assert contributions[:, 0].mean() == accuracy
    assert test["interval"] == [*bootstrap(contributions, mean)]
    assert len(test["baseline"][0]["interval"]) == 2
    learnt = "; TF-IDF with logistic regression: 1.0000" if optional.is_there("baselines") else ""
    low, high = (f"{bound:.4f}" for bound in test["interval"])
    assert f"95 % interval {low} to {high}" in printed, "the table"
    assert (
        f"Result: accuracy {accuracy:.4f}, 95 % interval {low} to {high} (always 'bad': 0.4000{learnt}). Loss"
        in printed
    )
    if optional.is_there("report"):
        assert f"{low} to {high}" in (run.path / "report/index.html").read_text()
    if optional.is_there("export"):
        assert main(["export", str(run.path), "exported"]) == 0
        assert f"| 95 % interval | {low} to {high} |" in Path("exported/README.md").read_text()
    row, bad = (json.dumps({"text": "a fine day", "label": label}) + "\n" for label in ("good", "bad"))
    prints = []
    for name, text in (("a.jsonl", row + bad), ("b.jsonl", bad + row), ("c.jsonl", row + bad + bad)):
        project.write(name, text)
        assert main(["evaluate", str(run.path), "--data", name, "--split", "other"]) == 0
        prints.append(json.loads((run.path / "evaluation-other.json").read_text())["fingerprint"])
    assert len({*prints, test["fingerprint"]}) == 4


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "No such file"),
        (b"", "is damaged"),
        (b"\xff" * 64, "is damaged"),
        (np.ones((5, 2), np.float32), "no table of 64-bit numbers"),
        (np.ones(5), "no table of 64-bit numbers"),
        (np.ones((4, 2)), "is not that of 5 examples"),
        (np.full((5, 2), np.nan), "is not that of 5 examples"),
        (np.ones((5, 99_999)), "is damaged"),
    ],
    ids=["missing", "empty", "noise", "type", "shape", "rows", "nan", "size"],
)
def test_contributions_of_somebody_else_are_checked(content: Any, sentence: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "evaluation-test.safetensors").write_bytes(
            content if isinstance(content, bytes) else save({NAME: content})
        )
    with pytest.raises(UserError, match=f"{sentence}.*: remove it and evaluate again"):
        read_contributions(RunFolder(tmp_path), {"split": "test", "examples": 5})


def test_contributions_are_read_through_no_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / "evaluation-test.safetensors").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link, which is not followed"):
        read_contributions(RunFolder(tmp_path), {"split": "test", "examples": 5})
