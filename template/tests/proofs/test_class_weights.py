"""Class weights: the same loss whatever the batches and micro-batches, and mistakes in the config."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Project
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor

from finetune.config.load import load_config
from finetune.run.saved_model import load_saved_model
from finetune.tasks.settings import TextClassification
from finetune.tasks.text_classification import Example, TextClassificationTask
from finetune.train import loop as training

LABELS = ["a", "b", "b", "c", "c", "c", "c"]


def fitted(class_weights: Any) -> TextClassificationTask:
    task = TextClassificationTask(TextClassification(type="text-classification", class_weights=class_weights))
    task.fit([Example("some text", None, label) for label in LABELS])
    return task


def test_balanced_weights_are_those_of_scikit_learn_and_leave_the_scale() -> None:
    weights = fitted("balanced").weights
    assert weights == pytest.approx(
        compute_class_weight("balanced", classes=np.array(["a", "b", "c"]), y=LABELS).tolist()
    )
    assert sum(weights["abc".index(label)] for label in LABELS) == pytest.approx(len(LABELS))


def test_a_weight_counts_like_so_many_examples() -> None:
    logits, labels = torch.randn(7, 3, dtype=torch.float64), torch.tensor([0, 1, 1, 2, 2, 2, 2])
    weighted = fitted({"b": 3}).loss(logits, labels)
    repeats = torch.tensor([1, 3, 3, 1, 1, 1, 1])
    plain = fitted("none").loss(logits.repeat_interleave(repeats, 0), labels.repeat_interleave(repeats))
    torch.testing.assert_close(weighted, plain, rtol=1e-12, atol=1e-12)


def gradients(project: Project, weights: str, budget: int) -> list[Tensor]:
    """Of one step over examples of which most have the same label."""
    path = project.config("text-classification", train={"clip_norm": None, "device": "cpu"})
    config = load_config(path, [f"train.micro_batch_tokens={budget}", f"task.class_weights={weights}"])
    training.set_seed(1)
    setup = training.build(config)
    setup.model.double().eval()
    found: list[Tensor] = []
    setup.optimizer.register_step_pre_hook(
        lambda *_: found.extend(p.grad.clone() for p in setup.model.parameters() if p.grad is not None)
    )
    training.optimizer_step(config, setup, [0, 2, 4, 6, 8, 1])
    return found


def test_class_weights_do_not_depend_on_the_micro_batches(project: Project) -> None:
    whole, *cuts = (gradients(project, "{good: 0.25, bad: 4}", budget) for budget in (10**6, 30, 1))
    for cut in cuts:
        for got, want in zip(cut, whole, strict=True):
            torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)
    plain = gradients(project, "none", 1)
    assert not all(torch.allclose(got, want, rtol=1e-3) for got, want in zip(plain, whole, strict=True))


def test_weights_are_kept_with_the_model(project: Project) -> None:
    project.train(project.config("text-classification", train={"max_steps": 1}), "task.class_weights={good: 2}")
    finetuned = load_saved_model(project.folder / "runs/config/best")
    assert isinstance(finetuned.task, TextClassificationTask)
    assert finetuned.task.weights == [1.0, 2.0]  # of bad, good


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ("{god: 2}", "task.class_weights: label 'god' does not occur in the training data (bad, good): correct it"),
        ("{good: 0}", "is 0: input should be greater than 0"),
        ("balance", "'task.class_weights' is \"balance\": input should be 'none' or 'balanced'"),
        ("{good: much}", 'is "much": input should be a valid number'),
        ("[good]", "'task.class_weights' is [\"good\"]: input should be"),
    ],
)
def test_mistakes(weights: str, sentence: str, project: Project, refused: Callable[..., str]) -> None:
    assert sentence in refused("train", project.config("text-classification"), f"task.class_weights={weights}")
