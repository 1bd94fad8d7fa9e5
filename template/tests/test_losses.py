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


NOT_CATEGORICAL = ("multi-label-classification", "regression", "ranking", "retrieval")
CATEGORICAL = [task for task in TASKS if task not in NOT_CATEGORICAL]


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


@pytest.mark.parametrize("task", CATEGORICAL)
def test_label_smoothing_spreads_a_share_of_the_target_in_training(task: str, project: Project) -> None:
    made, logits, labels = batch_of(task, project, "task.label_smoothing=0.1")
    pairs = scored(task, logits, labels)
    expected = 0.0
    for row, label in pairs:
        expected += cross_entropy(row, [0.9 * value + 0.1 / len(row) for value in one_hot(label, len(row))])
    assert float(made.loss(logits, labels)) == pytest.approx(expected)
    with torch.inference_mode():
        plain = sum(cross_entropy(row, one_hot(label, len(row))) for row, label in pairs)
        assert float(made.loss(logits, labels)) == pytest.approx(plain)


@pytest.mark.parametrize("task", ["text-classification", "token-classification"])
def test_focal_loss(task: str, project: Project) -> None:
    """Lin et al. 2017: (1 - p)^gamma times the cross-entropy; with weights, and finite where p is 1."""
    name = {"text-classification": "good", "token-classification": "O"}[task]
    made, logits, labels = batch_of(task, project, "task.focal_gamma=2", f"task.class_weights={{{name}: 3}}")
    expected = 0.0
    for row, label in scored(task, logits, labels):
        loss = cross_entropy(row, one_hot(label, len(row)))
        expected += made.weights[label] * (1 - math.exp(-loss)) ** 2 * loss
    assert float(made.loss(logits, labels)) == pytest.approx(expected)
    sure = torch.full_like(logits, -1e4).requires_grad_()
    with torch.no_grad():
        sure.scatter_(-1, labels.clamp(min=0)[..., None], 1e4)
    loss = made.loss(sure, labels)
    loss.backward()
    assert loss.item() == 0
    assert sure.grad is not None
    assert torch.isfinite(sure.grad).all()


def test_class_weights_of_tags_are_by_type(project: Project) -> None:
    made, _, _ = batch_of("token-classification", project, "task.class_weights=balanced")
    words: dict[str, int] = {}
    for example in build(load_config(project.config("token-classification"))).train.examples:
        for tag in example.tags:
            words[tag[2:] or "O"] = words.get(tag[2:] or "O", 0) + 1
    expected = [sum(words.values()) / (len(words) * words[label[2:] or "O"]) for label in made.labels]
    assert made.weights == pytest.approx(expected)
    weighted, logits, labels = batch_of("token-classification", project, "task.class_weights={O: 0.5}")
    pairs = scored("token-classification", logits, labels)
    losses = [(0.5 if label == 0 else 1) * cross_entropy(row, one_hot(label, len(row))) for row, label in pairs]
    assert weighted.labels[0] == "O"
    assert float(weighted.loss(logits, labels)) == pytest.approx(sum(losses))


def test_weights_smoothing_and_focus_of_several_labels(project: Project) -> None:
    """A weight counts where an example has the label; balanced: examples without it by those with it."""
    task = "multi-label-classification"
    made, logits, labels = batch_of(task, project, "task.class_weights=balanced")
    examples = build(load_config(project.config(task))).train.examples
    have = [sum(label in example.labels for example in examples) for label in made.labels]
    weights = [(len(examples) - count) / count for count in have]
    assert made.weights == pytest.approx(weights)
    pairs = [*zip(logits.tolist(), labels.tolist(), strict=True)]

    def total(loss: Any) -> float:
        return sum(sum(map(loss, row, truth, weights)) / len(row) for row, truth in pairs)

    assert float(made.loss(logits, labels)) == pytest.approx(total(lambda z, y, w: (w if y else 1) * binary(z, y)))
    made, _, _ = batch_of(task, project, "task.label_smoothing=0.2")
    smoothed = total(lambda z, y, _: binary(z, 0.8 * y + 0.1))
    assert float(made.loss(logits, labels)) == pytest.approx(smoothed)
    made, _, _ = batch_of(task, project, "task.focal_gamma=1.5")
    focal = total(lambda z, y, _: (1 - math.exp(-binary(z, y))) ** 1.5 * binary(z, y))
    assert float(made.loss(logits, labels)) == pytest.approx(focal)


def test_smoothing_and_focus_exclude_each_other(project: Project, refused: Any) -> None:
    told = refused("train", project.config("text-classification"), "task.label_smoothing=0.1", "task.focal_gamma=2")
    assert "label_smoothing and focal_gamma are both set" in told


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
