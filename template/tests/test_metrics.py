"""The metrics of each task on small examples, computed by hand; proofs compare them with other libraries."""

import math
from typing import Any

import numpy as np
import pytest
from conftest import TASKS, Project, build
from scipy.special import logit

from finetune.config.load import load_config
from finetune.tasks.generative import Generated
from finetune.tasks.results import macro_note


def task_of(task: str, project: Project) -> tuple[Any, list[Any]]:
    """A task that knows its training data, and their examples."""
    setup = build(load_config(project.config(task, train={"device": "cpu"})))
    return setup.task, setup.train.examples


def test_accuracy_and_f1(project: Project) -> None:
    """Good, bad, good, bad, of which the first three are predicted to be good."""
    task, examples = task_of("text-classification", project)
    logits = np.log([[0.1, 0.9], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]])
    scores = task.score(examples[:4], task.predictions(examples[:4], [], logits)).metrics
    assert scores["accuracy"] == pytest.approx(3 / 4)
    f1_good, f1_bad = 2 * 2 / (3 + 2), 2 * 1 / (1 + 2)
    assert scores["f1_macro"] == pytest.approx((f1_good + f1_bad) / 2)
    assert scores["mcc"] == pytest.approx((2 * 1 - 1 * 0) / math.sqrt(3 * 2 * 2 * 1))


def test_f1_of_label_sets_at_the_best_threshold(project: Project) -> None:
    """True: billing; both; login; none. The threshold lies between the lowest right and the highest wrong one."""
    task, examples = task_of("multi-label-classification", project)
    logits = logit([[0.9, 0.3], [0.8, 0.6], [0.2, 0.7], [0.3, 0.1]])
    task.calibrate(examples, [], logits)
    assert task.at_temperature(1.0).threshold == pytest.approx((0.6 + 0.3) / 2)
    assert task.score(examples, task.predictions(examples, [], logits)).metrics["f1_micro"] == 1
    task.temperature, task.threshold = 1.0, 0.65
    scores = task.score(examples, task.predictions(examples, [], logits)).metrics
    assert scores["f1_micro"] == pytest.approx(2 * 3 / (3 + 4))
    assert scores["exact_match"] == pytest.approx(3 / 4)


def test_precision_and_recall_by_threshold(project: Project) -> None:
    """The same as above: of the four true ones, three are above 0.65 and all above 0.25, there with two wrong ones."""
    task, examples = task_of("multi-label-classification", project)
    logits = logit([[0.9, 0.3], [0.8, 0.6], [0.2, 0.7], [0.3, 0.1]])
    [curves] = task.score(examples, task.predictions(examples, [], logits)).curves
    at = {
        threshold: {name: line[index] for name, line in curves.lines.items()}
        for index, threshold in enumerate(curves.x)
    }
    assert at[0.65] == pytest.approx({"precision": 1, "recall": 3 / 4, "f1": 2 * 3 / (3 + 4)})
    assert at[0.25] == pytest.approx({"precision": 4 / 6, "recall": 1, "f1": 2 * 4 / (6 + 4)})
    assert at[0.89] == pytest.approx({"precision": 1, "recall": 1 / 4, "f1": 2 * 1 / (1 + 4)})
    assert max(at) == 0.89, "nothing is predicted above: there is no precision"
    assert curves.chosen == task.threshold


def note(*labels: str) -> str:
    return f"Macro averages leave out what does not occur in these data: {', '.join(labels)}."


def test_macro_averages_leave_out_labels_that_the_data_do_not_have(project: Project) -> None:
    """Of two good texts one is predicted to be bad: its F1 of 0 is no result of these data, the recall of good is."""
    task, examples = task_of("text-classification", project)
    good = [example for example in examples if example.label == "good"][:2]
    scores = task.score(good, task.predictions(good, [], np.log([[0.1, 0.9], [0.9, 0.1]])))
    assert scores.metrics["f1_macro"] == pytest.approx(2 * 1 / (1 + 2))
    assert {row[0]: row[1:] for row in scores.tables[0].rows}["macro avg"] == [1, 0.5, pytest.approx(2 / 3), 2]
    assert scores.tables[0].note == note("bad")
    assert task.score(examples, task.baselines(examples, [])["always 'bad'"]).tables[0].note == ""

    task, examples = task_of("multi-label-classification", project)
    billing = [examples[0], examples[3]]  # billing, and none
    scores = task.score(billing, task.predictions(billing, [], logit([[0.9, 0.9], [0.9, 0.1]])))
    assert scores.metrics["f1_macro"] == pytest.approx(2 * 1 / (2 + 1))
    assert scores.metrics["f1_micro"] == pytest.approx(2 * 1 / (3 + 1)), "a wrong label counts, whichever it is"
    assert scores.tables[0].note.endswith(f"chosen on the validation data. {note('login')}")
    assert math.isfinite(
        task.score(examples[3:], task.predictions(examples[3:], [], logit([[0.9, 0.9]]))).metrics["f1_macro"]
    )

    task, examples = task_of("token-classification", project)
    example = examples[2]  # Acme (ORG) hired Ada (PER) .
    [prediction] = task.baselines([example], [])["always O"]
    tags = ["B-ORG", "B-LOC", "B-PER", "O"]
    scores = task.score([example], [type(prediction)(tags, [1.0] * 4)])
    assert scores.metrics["f1_macro"] == 1
    entities, words = scores.tables
    assert entities.note.endswith(note("LOC"))
    assert words.note.endswith(note("B-LOC"))
    macro = {row[0]: row[3] for row in words.rows}["macro avg"]
    assert macro == pytest.approx((1 + 1 + 2 * 1 / (1 + 2)) / 3)  # ORG, PER, and O, of which one of two is found
    outside = type(example)(["Nothing", "happened"], ["O", "O"])
    scores = task.score([outside], task.baselines([outside], [])["always O"])
    assert scores.metrics["f1_macro"] == 0


def test_a_note_names_ten_labels() -> None:
    names = [f"label{number}" for number in range(13)]
    assert macro_note(names, names[:1]).endswith("label9, label10 and 2 more.")
    assert macro_note(names, names) == ""


def test_errors_and_explained_variance(project: Project) -> None:
    task, examples = task_of("regression", project)
    predicted = [1.0, 1.5, 3.0, 4.0, 7.0]  # the last label is 5
    scores = task.score(examples, predicted).metrics
    assert scores["mae"] == pytest.approx(2 / 5)
    assert scores["rmse"] == pytest.approx(math.sqrt(4 / 5))
    variance = sum((label - 2.9) ** 2 for label in (1, 1.5, 3, 4, 5))
    assert scores["r2"] == pytest.approx(1 - 4 / variance)
    assert scores["spearman"] == pytest.approx(1)


def test_f1_of_entities(project: Project) -> None:
    """An entity counts only where its bounds and its type are right: one of two, and one of three predicted ones."""
    task, examples = task_of("token-classification", project)
    example = examples[2]  # Acme (ORG) hired Ada (PER) .
    [prediction] = task.baselines([example], [])["always O"]
    tags = ["B-ORG", "B-LOC", "B-LOC", "O"]
    scores = task.score([example], [type(prediction)(tags, [1.0] * 4)]).metrics
    assert scores["f1"] == pytest.approx(2 * 1 / (2 + 3))


def test_ranks_of_relevant_documents(project: Project) -> None:
    """Relevance 0, 2 and 1, ranked in the order of the file."""
    task, examples = task_of("ranking", project)
    scores = task.score(examples[:1], [[0.9, 0.8, 0.7]]).metrics
    ideal = 2 / math.log2(2) + 1 / math.log2(3)
    assert scores["ndcg@10"] == pytest.approx((2 / math.log2(3) + 1 / math.log2(4)) / ideal)
    assert (scores["mrr"], scores["recall@1"]) == (1 / 2, 0)


@pytest.mark.parametrize("name", ["text-generation", "chat"])
def test_perplexity_is_over_tokens(name: str, project: Project) -> None:
    task, examples = task_of(name, project)
    scores = task.score(examples[:2], [Generated(1.0, 1, 1), Generated(9.0, 4, 2)]).metrics
    assert scores["perplexity"] == pytest.approx(math.exp(10 / 5))
    assert scores["token_accuracy"] == pytest.approx(3 / 5)


def test_bleu_and_rouge(project: Project) -> None:
    """Of six words five are right: four pairs of five, three triples of four, two of three sequences of four."""
    task, examples = task_of("translation", project)
    example = type(examples[0])("x", "the house by the red station")
    bleu = task.score([example], [Generated(text="the house by the red stop")]).metrics["bleu"]
    assert bleu == pytest.approx(100 * (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25)
    task, examples = task_of("summarization", project)
    example = type(examples[0])("x", "the pool is closed")
    scores = task.score([example], [Generated(text="the pool closed today now")]).metrics
    assert scores["rouge1"] == pytest.approx(2 * 3 / (4 + 5))
    assert scores["rouge2"] == pytest.approx(2 * 1 / (3 + 4))
    assert scores["rougeL"] == pytest.approx(2 * 3 / (4 + 5))


@pytest.mark.parametrize("task", TASKS)
def test_the_best_validation_is_kept(task: str, project: Project) -> None:
    """The highest score so far, or the lowest perplexity; where it ties, the lowest loss."""
    project.train(project.config(task, train={"epochs": 4, "eval_every": 1, "max_steps": 8}, optim={"lr": 3e-3}))
    made, _ = task_of(task, project)
    sign = -1 if task in ("text-generation", "chat") else 1
    best = (float("-inf"), 0.0)
    for record in project.metrics("config"):
        if record["kind"] == "validation":
            score = (sign * record[made.selection_metric], -record["loss"])
            assert record["best"] == (score > best)
            best = max(best, score)
