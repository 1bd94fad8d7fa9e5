"""The loss of each task, and its distillation loss, against formulas in plain Python."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from conftest import TASKS, WRITING, Project, build

from finetune.config.load import load_config
from finetune.data.features import IGNORE
from finetune.train import loop as training

Row = Sequence[float]


def log_softmax(row: Row) -> list[float]:
    """The logarithms of the probabilities of logits."""
    total = math.log(sum(math.exp(value) for value in row))
    return [value - total for value in row]


def cross_entropy(row: Row, truth: Row) -> float:
    """Of logits with the true probabilities."""
    return -sum(t * p for t, p in zip(truth, log_softmax(row), strict=True))


def one_hot(label: int, size: int) -> list[float]:
    """Probability 1 for a label."""
    return [float(number == label) for number in range(size)]


def softmax(row: Row, temperature: float) -> list[float]:
    """The probabilities of logits, softened."""
    return [math.exp(value) for value in log_softmax([value / temperature for value in row])]


def binary(logit: float, truth: float) -> float:
    """The binary cross-entropy of a logit."""
    probability = 1 / (1 + math.exp(-logit))
    return -truth * math.log(probability) - (1 - truth) * math.log(1 - probability)


def batch_of(task: str, project: Project, *overrides: str) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """A task, logits of its first examples as a model could give them, and their labels."""
    setup = build(load_config(project.config(task, train={"device": "cpu"}), list(overrides)))
    features = setup.train.features[:4]
    labels = setup.task.batch_labels(features, max(feature.length for feature in features))
    size = len(setup.tokenizer) if task in WRITING else setup.model.config.num_labels
    words = labels.shape[1:] if task in (*WRITING, "token-classification") else ()
    return setup.task, 2 * torch.randn(4, *words, size, dtype=torch.float64), labels


def scored(task: str, logits: torch.Tensor, labels: torch.Tensor) -> list[tuple[list[float], int]]:
    """The logits and the label of each scored position; a decoder predicts the token after the one it has read."""
    ahead = task in ("text-generation", "chat")
    pairs = []
    for row, truth in zip(logits.tolist(), labels.tolist(), strict=True):
        if not isinstance(truth, list):
            pairs.append((row, truth))
            continue
        moved = zip(row[:-1], truth[1:], strict=True) if ahead else zip(row, truth, strict=True)
        pairs += [(position, label) for position, label in moved if label != IGNORE]
    return pairs


CATEGORICAL = [task for task in TASKS if task not in ("multi-label-classification", "regression", "ranking")]


@pytest.mark.parametrize("task", CATEGORICAL)
def test_cross_entropy_of_the_scored_labels(task: str, project: Project) -> None:
    made, logits, labels = batch_of(task, project)
    pairs = scored(task, logits, labels)
    expected = sum(cross_entropy(row, one_hot(label, len(row))) for row, label in pairs)
    assert float(made.loss(logits, labels)) == pytest.approx(expected)
    targets = torch.randn_like(logits)
    soft = [softmax(row, 3.0) for row, _ in scored(task, targets, labels)]
    hotter = [[value / 3.0 for value in row] for row, _ in pairs]
    expected = 3.0**2 * sum(cross_entropy(row, truth) for row, truth in zip(hotter, soft, strict=True))
    assert float(made.distillation_loss(logits, targets, labels, 3.0)) == pytest.approx(expected)


def test_class_weights_multiply_the_loss_of_an_example(project: Project) -> None:
    made, logits, labels = batch_of("text-classification", project, "task.class_weights={bad: 0.5, good: 3}")
    pairs = zip(logits.tolist(), labels.tolist(), strict=True)
    expected = sum([0.5, 3][label] * cross_entropy(row, one_hot(label, 2)) for row, label in pairs)
    assert made.labels == ["bad", "good"]
    assert float(made.loss(logits, labels)) == pytest.approx(expected)


def test_balanced_class_weights(project: Project) -> None:
    """n / (classes * count): of three and one examples 4/6 and 4/2."""
    project.write("uneven.jsonl", "".join(f'{{"text": "t", "label": "{label}"}}\n' for label in "aaab"))
    made, _, _ = batch_of("text-classification", project, "data={train: uneven.jsonl}", "task.class_weights=balanced")
    assert made.weights == pytest.approx([4 / 6, 4 / 2])


def test_binary_cross_entropy_is_the_mean_over_the_labels_of_an_example(project: Project) -> None:
    made, logits, labels = batch_of("multi-label-classification", project)

    def expected(rows: torch.Tensor, truths: Any) -> float:
        pairs = zip(rows.tolist(), truths, strict=True)
        return sum(sum(map(binary, row, truth)) / len(row) for row, truth in pairs)

    assert float(made.loss(logits, labels)) == pytest.approx(expected(logits, labels.tolist()))
    targets = torch.randn_like(logits)
    soft = [[1 / (1 + math.exp(-value / 3)) for value in row] for row in targets.tolist()]
    found = float(made.distillation_loss(logits, targets, labels, 3.0))
    assert found == pytest.approx(3.0**2 * expected(logits / 3, soft))


@pytest.mark.parametrize(
    ("loss", "formula"), [("mse", lambda e: e * e), ("huber", lambda e: e * e / 2 if abs(e) < 1 else abs(e) - 0.5)]
)
def test_errors_of_a_regression(loss: str, formula: Any, project: Project) -> None:
    """Labels are standardised: their mean is 0 and their standard deviation 1."""
    made, _, labels = batch_of("regression", project, f"task.loss={loss}")
    logits = torch.tensor([[-1.9], [0.2], [2.5], [0.4]], dtype=torch.float64)
    truths = [1.0, 1.5, 3.0, 4.0, 5.0]  # those of conftest
    mean = sum(truths) / 5
    deviation = math.sqrt(sum((truth - mean) ** 2 for truth in truths) / 5)
    assert labels.tolist() == pytest.approx([(truth - mean) / deviation for truth in truths[:4]])
    errors = [row[0] - truth for row, truth in zip(logits.tolist(), labels.tolist(), strict=True)]
    assert any(abs(error) < 1 for error in errors)
    assert any(abs(error) > 1 for error in errors)
    assert float(made.loss(logits, labels)) == pytest.approx(sum(map(formula, errors)))
    targets = torch.zeros_like(logits)
    squares = sum(row[0] ** 2 for row in logits.tolist())
    assert float(made.distillation_loss(logits, targets, labels, 3.0)) == pytest.approx(squares)


def test_listwise_and_pointwise_ranking(project: Project) -> None:
    """Three documents of a first query with relevance 0, 2 and 1, and one of a second."""
    values = [0.3, -1.2, 2.0, 0.7]
    scores = torch.tensor(values, dtype=torch.float64)[:, None]
    made, _, labels = batch_of("ranking", project)
    assert labels.tolist() == [[0, 0], [0, 2], [0, 1], [1, 1]]
    in_lists = cross_entropy(values[:3], [0, 2 / 3, 1 / 3]) + cross_entropy(values[3:], [1.0])
    assert float(made.loss(scores, labels)) == pytest.approx(in_lists, rel=1e-6)
    made, _, labels = batch_of("ranking", project, "task.loss=pointwise")
    alone = sum(binary(value, relevance / 2) for value, relevance in zip(values, [0, 2, 1, 1], strict=True))
    assert float(made.loss(scores, labels)) == pytest.approx(alone)


@pytest.mark.parametrize("budget", [1, 10**6])
def test_the_gradient_of_a_step_is_a_mean_over_its_labels(budget: int, project: Project) -> None:
    """By the logits it is p - y for each scored word, whatever the micro-batches; the bias of the head sums them up."""
    config = load_config(project.config("token-classification", train={"clip_norm": None, "device": "cpu"}),
                         [f"train.micro_batch_tokens={budget}", "model.max_length=64"])  # fmt: skip
    setup = build(config)
    setup.model.double().eval()
    expected, terms, count = torch.zeros(7, dtype=torch.float64), 0.0, 0
    for feature in setup.train.features:
        inputs = {name: torch.tensor([values]) for name, values in feature.inputs.items()}
        rows = setup.model(**inputs).logits[0].tolist()
        for row, label in zip(rows, feature.labels, strict=True):
            if label != IGNORE:
                expected += torch.tensor(softmax(row, 1.0)) - torch.tensor(one_hot(label, 7))
                terms += cross_entropy(row, one_hot(label, 7))
                count += 1
    found: list[torch.Tensor] = []
    setup.optimizer.register_step_pre_hook(lambda *_: found.append(setup.model.classifier.bias.grad.clone()))
    for _ in range(2):  # the first step of the warm-up has a learning rate of 0: the second finds the same weights
        step = training.optimizer_step(config, setup, range(5))
        torch.testing.assert_close(found.pop(), expected / count, rtol=1e-6, atol=1e-8)
    assert (step.loss / step.count, step.count) == (pytest.approx(terms / count), count)
