"""Batches: every example exactly once, a function of seed and epoch, within the token budget."""

import random

import numpy as np
import pytest
import torch
from conftest import Project, build

from finetune.config.load import load_config
from finetune.data.batching import Batch, Padding, micro_batches
from finetune.data.epoch import WINDOW, EpochBatches
from finetune.data.features import Feature
from finetune.inference import infer
from finetune.model import forward as passes
from finetune.model.tiny import tiny_tokenizer
from finetune.tasks.settings import TextClassification
from finetune.tasks.text_classification import Example, TextClassificationTask
from finetune.train import loop as training

DRAW = random.Random(0)
LENGTHS = [DRAW.randint(3, 60) for _ in range(1003)]


def epoch_batches(lengths: list[int], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    return [*EpochBatches(np.array(lengths), batch_size, seed, epoch)]


@pytest.mark.parametrize("batch_size", [1, 7, 16, 2000])
def test_an_epoch_holds_every_example_once(batch_size: int) -> None:
    batches = epoch_batches(LENGTHS, batch_size, seed=1, epoch=2)
    assert sorted(i for batch in batches for i in batch) == list(range(len(LENGTHS)))
    assert len(batches) == -(-len(LENGTHS) // batch_size)
    assert max(map(len, batches)) <= batch_size


@pytest.mark.parametrize("batch_size", [1, 2, 7, 16, 31, 999, 1003, 2000])
@pytest.mark.parametrize("count", [1, 2, 511, 512, 513, 1003])
def test_an_epoch_has_the_order_of_earlier_versions(count: int, batch_size: int) -> None:
    """A resumed run goes on with the same batches. This is the earlier algorithm, which made all of them at once."""
    for seed, epoch in ((0, 0), (42, 3)):
        draw = np.random.default_rng([seed, epoch])
        order, size = draw.permutation(count), np.array(LENGTHS[:count])
        expected: list[list[int]] = []
        for start in range(0, len(order), WINDOW * batch_size):
            window = order[start : start + WINDOW * batch_size]
            window = window[np.argsort(size[window], kind="stable")]
            expected += [window[i : i + batch_size].tolist() for i in range(0, len(window), batch_size)]
        draw.shuffle(expected)
        assert epoch_batches(LENGTHS[:count], batch_size, seed, epoch) == expected


def test_order_depends_on_seed_and_epoch_alone() -> None:
    assert epoch_batches(LENGTHS, 16, 1, 2) == epoch_batches(LENGTHS, 16, 1, 2)
    assert epoch_batches(LENGTHS, 16, 1, 2) != epoch_batches(LENGTHS, 16, 1, 3)
    assert epoch_batches(LENGTHS, 16, 1, 2) != epoch_batches(LENGTHS, 16, 2, 2)


def test_every_epoch_of_a_training_has_its_own_batches(project: Project) -> None:
    config = load_config(project.config("text-classification", train={"batch_size": 3, "epochs": 3}))
    batches = [rows for _, rows in training.step_batches(config, build(config), 0)]
    epochs = [batches[start : start + 4] for start in range(0, 12, 4)]
    for epoch in epochs:
        assert sorted(row for rows in epoch for row in rows) == list(range(10))
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert [rows for _, rows in training.step_batches(config, build(config), 5)] == batches[5:], "as after a resume"


def test_batches_hold_similar_lengths_in_no_order_of_length() -> None:
    batches = epoch_batches(LENGTHS, 16, 1, 0)
    padded = sum(len(batch) * max(LENGTHS[i] for i in batch) for batch in batches)
    assert sum(LENGTHS) / padded > 0.9
    longest = [max(LENGTHS[i] for i in batch) for batch in batches]
    assert longest != sorted(longest)


FEATURES = [Feature(i // 3, {"input_ids": [1] * length}, [0]) for i, length in enumerate(LENGTHS)]


@pytest.mark.parametrize("budget", [1, 64, 1000, 10**9])
@pytest.mark.parametrize("together", [False, True])
def test_micro_batches_hold_every_row_within_the_budget(budget: int, together: bool) -> None:
    rows = list(range(30, 231))
    groups = micro_batches(FEATURES, rows, budget, together)
    assert sorted(row for group in groups for row in group) == rows
    for group in groups:
        alone = len({FEATURES[row].example for row in group}) == 1 if together else len(group) == 1
        assert alone or len(group) * max(LENGTHS[row] for row in group) <= budget
    assert max(LENGTHS[row] for row in groups[0]) == max(LENGTHS[row] for row in rows)
    if together:
        found = [example for group in groups for example in {FEATURES[row].example for row in group}]
        assert len(found) == len(set(found)), "an example must not be cut apart"


def test_rows_with_other_numbers_of_end_tokens_go_apart() -> None:
    features = [Feature(i, {"input_ids": [1] * length}, [0], end_tokens=1 + i % 2) for i, length in enumerate(LENGTHS)]
    groups = micro_batches(features, range(200), 1000)
    assert sorted(row for group in groups for row in group) == list(range(200))
    assert all(len({features[row].end_tokens for row in group}) == 1 for group in groups)
    assert max(map(len, groups)) > 10


def test_padding_is_masked() -> None:
    task = TextClassificationTask(TextClassification(type="text-classification"))
    examples = [Example("one two three", None, "a"), Example("one", None, "b")]
    task.fit(examples)
    tokenizer = tiny_tokenizer("tiny:bert", ["one two three"] * 3)
    features = task.encode(examples, tokenizer, 16).features
    batch = Padding(tokenizer, task.batch_labels).make_batch(features, [1, 0])
    assert batch.inputs["input_ids"].shape == (2, 5)
    assert batch.inputs["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert batch.inputs["input_ids"][0, 3:].tolist() == [tokenizer.pad_token_id] * 2
    assert torch.equal(batch.labels, torch.tensor([1, 0]))


def test_a_batch_moves_with_all_its_tensors() -> None:
    inputs = {"input_ids": torch.ones(2, 3), "max_length_q": 3}
    moved = Batch(inputs, torch.zeros(2), [4, 5], 6).to(torch.device("meta"))
    assert (moved.inputs["input_ids"].device.type, moved.labels.device.type) == ("meta", "meta")
    assert (moved.inputs["input_ids"].shape, moved.labels.shape) == ((2, 3), (2,))
    assert (moved.inputs["max_length_q"], moved.rows, moved.size) == (3, [4, 5], 6)


def test_a_forward_pass_on_a_cpu_is_small(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Larger ones are slower; what `train.micro_batch_tokens` says below that, and on a GPU, counts."""
    most = passes.CPU_TOKENS * torch.get_num_threads()
    assert passes.pass_tokens(10**6, torch.device("cpu")) == most
    assert passes.pass_tokens(7, torch.device("cpu")) == 7
    assert passes.pass_tokens(10**6, torch.device("cuda")) == 10**6

    config = load_config(project.config("text-classification", train={"device": "cpu"}))
    setup = build(config)
    sizes: list[int] = []
    setup.model.register_forward_pre_hook(
        lambda model, inputs, named: sizes.append(named["input_ids"].numel()), with_kwargs=True
    )
    monkeypatch.setattr(passes, "CPU_TOKENS", 16)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    training.optimizer_step(config, setup, range(len(setup.train)))
    infer(setup.model, setup.task, setup.tokenizer, setup.train.features, "loss", budget=8192, precision="fp32")
    assert len(sizes) > 4
    assert max(sizes) <= 32
