"""What must not change a number: how a step is cut, padding, the order of batches, packing, half precision.

In fp64, where rounding hides nothing, with texts of uneven lengths and weights so large that a fault is a large one.
"""

import copy
import json
import random
from typing import Any

import numpy as np
import pytest
import torch
from conftest import GOOD, TASKS, WRITING, Project, with_prices

from finetune.config.config import Config
from finetune.config.load import load_config
from finetune.data.batching import Batch
from finetune.inference import Inference, infer
from finetune.model import load as loading
from finetune.train import loop as training
from finetune.train.optim import make_optimizer, make_schedule

OF_TEXTS = ("text-classification", "multi-label-classification", "regression")
"""Tasks that can read a long text in windows."""


def config_of(project: Project, task: str, *overrides: str, max_length: int = 32) -> Config:
    """On the CPU, nothing clipped; what a model writes is short, for writing takes time."""
    path = project.config(task, train={"clip_norm": None, "device": "cpu"}, model={"max_length": max_length})
    short = ["task.generation.max_new_tokens=3"] if task in WRITING else []
    return load_config(path, [*short, *overrides])


def set_up(config: Config) -> training.Setup:
    """The loop's setup with weights that matter (the usual 0.02 hides mistakes), in fp64, without dropout."""
    training.set_seed(config.train.seed)
    setup = training.build(config)
    setup.model.double().eval()
    for parameter in setup.model.parameters():
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=0.5)
    return setup


def gradients(config: Config, setup: training.Setup, rows: list[int]) -> list[torch.Tensor]:
    """Of one step over `rows`, which is not taken on this setup."""
    return gradients_of_step(config, copy.deepcopy(setup), rows)


def gradients_of_step(config: Config, setup: training.Setup, rows: list[int]) -> list[torch.Tensor]:
    """Of one step over `rows`."""
    found: list[torch.Tensor] = []
    setup.optimizer = make_optimizer(config.optim, setup.model)
    setup.optimizer.register_step_pre_hook(
        lambda *_: found.extend(p.grad.clone() for p in setup.model.parameters() if p.grad is not None)
    )
    setup.schedule = make_schedule(config.optim, setup.optimizer, 10)
    training.optimizer_step(config, setup, rows)
    return found


@pytest.mark.parametrize(
    ("task", "overflow"),
    [*((task, "cut") for task in TASKS), *((task, "windows") for task in OF_TEXTS), ("regression", "head_tail")],
)
def test_accumulation_equals_full_batch(task: str, overflow: str, project: Project) -> None:
    whole = config_of(project, task, "train.micro_batch_tokens=1000000", f"model.overflow={overflow}", max_length=10)
    setup = set_up(whole)
    assert (len(setup.train.features) > len(setup.train.examples)) or overflow != "windows"
    rows = list(range(len(setup.train.examples)))
    expected = gradients(whole, setup, rows)
    assert len(expected) > 10
    for budget in (1, 24, 64):
        budgeted = f"train.micro_batch_tokens={budget}"
        cut = config_of(project, task, budgeted, f"model.overflow={overflow}", max_length=10)
        for got, want in zip(gradients(cut, setup, rows), expected, strict=True):
            torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("task", "overflow"), [("ranking", "cut"), ("regression", "windows")])
def test_accumulation_is_exact_with_tabular_features(task: str, overflow: str, project: Project) -> None:
    """One of the numbers is missing; the model is built anew, for the joined one cannot be copied."""
    with_prices(project, task)
    joined = ["data.features={price: number, brand: category}", f"model.overflow={overflow}"]
    found = []
    for budget in (1, 24, 64, 10**6):
        config = config_of(project, task, f"train.micro_batch_tokens={budget}", *joined, max_length=10)
        setup = set_up(config)
        found.append(gradients_of_step(config, setup, list(range(len(setup.train)))))
    names = [name for name, _ in setup.model.named_parameters() if "tabular_head" in name]
    assert len(names) == 5
    assert len(found[0]) == sum(parameter.requires_grad for parameter in setup.model.parameters())
    for gradients in found[:-1]:
        for got, want in zip(gradients, found[-1], strict=True):
            torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("task", "data"),
    [("token-classification", None), ("text-generation", None), ("text-generation", "texts.jsonl"), ("chat", None)],
)
def test_packing_changes_no_gradient(task: str, data: str | None, project: Project) -> None:
    """Of prompts and of whole texts: only these learn their first tokens, which nothing can predict."""
    project.write("texts.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in GOOD))
    files = [f"data.train={data}"] if data else []
    padded = config_of(project, task, "train.micro_batch_tokens=1000000", *files)
    setup = set_up(padded)
    rows = list(range(len(setup.train)))
    expected = gradients(padded, setup, rows)
    for budget in (30, 10**6):
        packed = config_of(project, task, "train.packing=true", f"train.micro_batch_tokens={budget}", *files)
        for got, want in zip(gradients(packed, set_up(packed), rows), expected, strict=True):
            torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)


def run(setup: training.Setup, budget: int, order: list[int] | None = None) -> Inference:
    """Inference on the training data, or on its features in another order."""
    features = setup.train.features if order is None else [setup.train.features[row] for row in order]
    return infer(setup.model, setup.task, setup.tokenizer, features, "evaluation", budget=budget, precision="fp32")


def numbers(value: Any) -> list[float]:
    """All numbers in what a task has decoded."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [number for part in value for number in numbers(part)]
    return [float(value)] if isinstance(value, (int, float)) else []


def texts(value: Any) -> list[str]:
    """All texts in it."""
    if isinstance(value, (list, tuple)):
        return [text for part in value for text in texts(part)]
    return [value] if isinstance(value, str) else []


def assert_same(found: Any, expected: Any) -> None:
    """Numbers up to rounding, texts to the letter."""
    assert numbers(found) == pytest.approx(numbers(expected), rel=1e-6, abs=1e-6)
    assert texts(found) == texts(expected)
    assert numbers(found)


@pytest.mark.parametrize(("task", "overflow"), [*((task, "cut") for task in TASKS), ("regression", "windows")])
def test_padding_invariant(task: str, overflow: str, project: Project) -> None:
    """Each row by itself has no padding at all; all rows in one batch have as much as can be."""
    length = 32 if overflow == "cut" else 8
    setup = set_up(config_of(project, task, f"model.overflow={overflow}", max_length=length))
    assert len({feature.length for feature in setup.train.features}) > 2
    alone = run(setup, budget=1)
    for budget in (50, 10**6):
        padded = run(setup, budget)
        assert padded.loss == pytest.approx(alone.loss, rel=1e-9)
        assert_same(padded.decoded, alone.decoded)


@pytest.mark.parametrize("task", TASKS)
def test_batch_order_irrelevant(task: str, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row goes through the model exactly once, and comes back to its place wherever it stood."""
    setup = set_up(config_of(project, task))
    seen: list[int] = []
    to = Batch.to

    def watched(batch: Batch, device: torch.device) -> Batch:
        seen.extend(batch.rows)
        return to(batch, device)

    monkeypatch.setattr(Batch, "to", watched)
    expected = run(setup, budget=50)
    assert sorted(seen) == list(range(len(setup.train.features)))
    order = list(range(len(setup.train.features)))
    random.Random(5).shuffle(order)
    for budget in (50, 10**6):
        shuffled = run(setup, budget, order)
        assert shuffled.loss == pytest.approx(expected.loss, rel=1e-9)
        for place, row in enumerate(order):
            assert_same(shuffled.decoded[place], expected.decoded[row])


@pytest.mark.parametrize("task", [task for task in TASKS if task != "retrieval"])  # which compares examples
def test_validation_loss_is_a_mean_over_labels_not_over_batches(task: str, project: Project) -> None:
    setup = set_up(config_of(project, task))
    features = setup.train.features
    examples = [
        [row for row in range(len(features)) if features[row].example == i] for i in range(len(setup.train.examples))
    ]
    counts = [sum(features[row].scored_labels for row in rows) for rows in examples]
    summed = sum(run(setup, 10**6, rows).loss * count for rows, count in zip(examples, counts, strict=True))
    assert run(setup, 10**6).loss == pytest.approx(summed / sum(counts), rel=1e-9)
    assert run(setup, 50).loss == pytest.approx(summed / sum(counts), rel=1e-9)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half precision is slow where the hardware does not know it."""
    make = loading.tiny_config

    def tiny_config(*arguments: Any, **options: Any) -> Any:
        config = make(*arguments, **options)
        config.hidden_size, config.intermediate_size = 32, 64
        return config

    monkeypatch.setattr(loading, "tiny_config", tiny_config)


@pytest.mark.usefixtures("narrow")
def test_bf16_close_to_fp32(project: Project) -> None:
    """50 steps: rounding goes both ways, so the mean difference shows what single steps hide, such as lost updates."""
    loop = {"max_steps": 50, "epochs": 50, "device": "cpu"}
    path = project.config("text-classification", train=loop, optim={"schedule": "constant", "warmup": 0, "lr": 5e-4})
    losses = {}
    for precision in ("fp32", "bf16"):
        config = load_config(path, [f"train.precision={precision}"])
        training.set_seed(config.train.seed)
        setup = training.build(config)
        for module in setup.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        steps = [training.optimizer_step(config, setup, range(6)) for _ in range(50)]
        losses[precision] = torch.tensor([step.loss / step.count for step in steps])
    assert not torch.equal(losses["bf16"], losses["fp32"])
    assert losses["fp32"][-1] < 0.2 * losses["fp32"][0]
    difference = losses["bf16"] - losses["fp32"]
    assert abs(difference.mean()) < 0.005
    assert difference.abs().max() < 0.03
