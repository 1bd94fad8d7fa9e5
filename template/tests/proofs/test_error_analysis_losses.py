"""The losses by which `finetune errors` orders training examples, in fp64 against each example by itself."""

from typing import Any

import pytest
import torch
from conftest import TASKS, Project, build, weights_that_matter

from finetune.config.config import Config
from finetune.config.load import load_config
from finetune.data.batching import Padding
from finetune.error_analysis.training_rows import losses_and_predictions
from finetune.model.forward import forward
from finetune.run.saved_model import SavedModel

CASES: list[tuple[str, list[str]]] = [
    *((task, []) for task in TASKS if task != "retrieval"),
    ("text-classification", ["model.max_length=8", "model.overflow=windows"]),
    ("text-classification", ["task.class_weights={good: 7}"]),
    ("text-classification", ["task.focal_gamma=2"]),
    ("multi-label-classification", ["task.class_weights={login: 7}"]),
    ("regression", ["model.max_length=8", "model.overflow=windows"]),
    ("ranking", ["task.loss=pointwise"]),
    ("token-classification", ["model.max_length=8", "task.stride=2"]),
    ("text-generation", ["model.max_length=12"]),
]


def in_fp64(config: Config) -> tuple[SavedModel, list[Any]]:
    """A model with random weights as if it had been saved, and its training examples."""
    setup = build(config)
    model = setup.model.double().eval()
    saved = SavedModel(setup.task, model, setup.tokenizer, config.model.max_length, config.method, [])
    return saved, [*setup.train.examples]


@pytest.mark.parametrize(("task", "overrides"), CASES)
def test_an_example_has_the_loss_that_it_has_alone(
    task: str, overrides: list[str], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Examples of uneven lengths in common batches; of tags the word with the highest loss; without class weights."""
    weights_that_matter(monkeypatch)
    config = load_config(project.config(task, train={"device": "cpu", "micro_batch_tokens": 90}), overrides)
    saved, examples = in_fp64(config)
    losses, predictions = losses_and_predictions(config, saved, examples)
    assert len(predictions) == len(examples)
    assert len({*losses}) > 2
    if task in ("text-classification", "multi-label-classification"):
        saved.task.weights = None
        saved.task.settings = saved.task.settings.model_copy(update={"focal_gamma": 0})
    for loss, example in zip(losses, examples, strict=True):
        assert loss == pytest.approx(alone(saved, example), rel=1e-12)


def test_a_query_has_the_loss_among_all_documents(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    weights_that_matter(monkeypatch)
    config = load_config(project.config("retrieval", train={"device": "cpu", "micro_batch_tokens": 30}))
    saved, examples = in_fp64(config)
    losses, _ = losses_and_predictions(config, saved, examples)
    features = saved.task.encode(examples, saved.tokenizer, saved.max_length).features
    batch = Padding(saved.tokenizer, saved.task.batch_labels).make_batch(features, range(len(features)))
    with torch.inference_mode():
        found = saved.task.row_losses(forward(saved.model, saved.task, batch, "fp32"), batch.labels)
    assert losses == pytest.approx(found[batch.labels[:, 1] == 0].tolist(), rel=1e-12)
    assert min(losses) > 0


def alone(saved: SavedModel, example: Any) -> float:
    """The loss by the task's own rule, over its scored labels; of tags by the probability of each."""
    features = saved.task.encode([example], saved.tokenizer, saved.max_length).features
    batch = Padding(saved.tokenizer, saved.task.batch_labels).make_batch(features, range(len(features)))
    with torch.inference_mode():
        logits = forward(saved.model, saved.task, batch, "fp32")
    if saved.task.splits_into_words:
        scored = batch.labels != -100
        return -float(logits[scored].log_softmax(-1).gather(-1, batch.labels[scored][:, None]).min())
    return float(saved.task.loss(logits, batch.labels)) / sum(feature.scored_labels for feature in features)


def test_the_loss_of_a_large_vocabulary_is_the_same_in_chunks(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights_that_matter(monkeypatch)
    config = load_config(project.config("text-generation", train={"device": "cpu"}))
    saved, examples = in_fp64(config)
    whole, _ = losses_and_predictions(config, saved, examples)
    monkeypatch.setattr("finetune.model.output_layer.LARGE", 0)
    chunks, _ = losses_and_predictions(config, saved, examples)
    assert chunks == pytest.approx(whole, rel=1e-12)
