"""A step waits for the device once, and the ranks exchange numbers once, beside gradients and sharded weights."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from conftest import Project, build
from ranks import QUIET, both, config_of, named
from torch.utils._python_dispatch import TorchDispatchMode

from finetune.config.config import Config
from finetune.distributed.world import World
from finetune.train import loop as training
from finetune.train.throughput import StepStats

READS = ("_local_scalar_dense", "nonzero", "masked_select", "equal")
"""Operators for which a program waits until a GPU has the values."""


def asks_for_padding() -> bool:
    """Whether transformers asks a mask if it has zeros, which it does in each forward pass."""
    frame = sys._getframe(2)
    while frame.f_back and "/torch/" in frame.f_code.co_filename:
        frame = frame.f_back
    return frame.f_code.co_filename.endswith("masking_utils.py")


class Waits(TorchDispatchMode):
    """Counts what would wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = operator.overloadpacket.__name__
        by_mask = name == "index" and any(index is not None and index.dtype == torch.bool for index in args[1])
        if (name in READS or by_mask) and not asks_for_padding():
            self.found[name] += 1
        return operator(*args, **kwargs or {})


@contextmanager
def waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """The operators of the block that wait, and the conversions of tensors, which are none."""
    with Waits() as mode, monkeypatch.context() as patches:
        for name in ("tolist", "numpy", "cpu"):
            convert = getattr(torch.Tensor, name)

            def count(self: Any, *arguments: Any, name: str = name, convert: Any = convert) -> Any:
                mode.found[name] += 1
                return convert(self, *arguments)

            patches.setattr(torch.Tensor, name, count)
        yield mode.found


@pytest.mark.parametrize(
    ("task", "more"),
    [
        ("text-classification", []),
        ("multi-label-classification", []),
        ("regression", []),
        ("token-classification", ["method={type: lora}"]),
        ("text-classification", ["optim.name=sgd", "train.clip_norm=null"]),
    ],
)
def test_a_step_waits_for_the_device_once(
    task: str, more: list[str], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In several micro-batches, which are made on the CPU."""
    config = config_of(project, task, *more)
    setup = build(config)
    training.optimizer_step(config, setup, range(3))
    make = type(setup.batching).make_batch
    with waits(monkeypatch) as found:

        def uncounted(*arguments: Any) -> Any:
            before = Counter(found)
            batch = make(*arguments)
            found.clear()
            found.update(before)
            return batch

        monkeypatch.setattr(type(setup.batching), "make_batch", uncounted)
        training.optimizer_step(config, setup, range(3))
    assert found == {"tolist": 1}


class Exchanges(TorchDispatchMode):
    """Counts collectives by their names."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if operator.namespace in ("c10d", "_c10d_functional"):
            self.found[operator.overloadpacket.__name__] += 1
        return operator(*args, **kwargs or {})


def exchanges(world: World, configs: list[Config]) -> list[list[Counter[str]]]:
    """What a training communicates from the end of its first step to that of its last, step by step."""
    take, told = training.optimizer_step, []
    for config in configs:
        counts = []
        with Exchanges() as mode:

            def optimizer_step(*arguments: Any, mode: Exchanges = mode, counts: list[Any] = counts) -> StepStats:
                step = take(*arguments)
                counts.append(Counter(mode.found))
                mode.found.clear()
                return step

            training.optimizer_step = optimizer_step
            training.train(config, console=QUIET, world=world)
            training.optimizer_step = take
        told.append(counts[1:])
    return told


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its processes; this system has no fork")
def test_the_ranks_exchange_numbers_once_a_step(project: Project) -> None:
    """DDP: gradients in two buckets, and which parameters have some. FSDP2: three groups of weights."""
    few = ["train.micro_batch_tokens=1000", "train.max_steps=4", "train.eval_every=4"]
    ways = ("ddp", "fsdp")
    configs = [named(config_of(project, "text-classification", *few, f"train.parallel={how}"), how) for how in ways]
    for ddp, fsdp in both(exchanges, configs):
        assert ddp == [{"allreduce_": 3 + 1}] * 3
        assert fsdp == [{"_allgather_base_": 6, "_reduce_scatter_base_": 3, "allreduce_": 1}] * 3
