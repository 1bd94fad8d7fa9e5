"""Devices and processes: what a training touches beside its own device, and how long ranks wait for each other."""

import contextlib
from datetime import timedelta
from typing import Any

import pytest
import torch
from conftest import Project, build
from torch import distributed as dist

from finetune.config.load import load_config
from finetune.distributed import world
from finetune.generate import generate
from finetune.model.device import random_devices


def test_generation_leaves_the_other_gpus_alone(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU it asks no GPU for its random state, and on a GPU only that one."""

    def touched(*_: Any) -> Any:
        raise AssertionError("a GPU that is not used")

    setup = build(load_config(project.config("text-generation", train={"device": "cpu"})))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_rng_state", touched)
    random = torch.get_rng_state()
    settings = setup.task.generation.model_copy(update={"temperature": 1.0})
    generate(setup.model.eval(), setup.tokenizer, [[5, 6]], settings, [1], budget=100, bf16=False)
    assert torch.equal(random, torch.get_rng_state())
    assert random_devices(torch.device("cuda", 1)) == [torch.device("cuda", 1)]


def test_ranks_wait_for_a_long_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than the half hour of gloo."""
    options: list[dict[str, Any]] = []

    def started(_: str, **given: Any) -> None:
        options.append(given)
        raise KeyboardInterrupt

    monkeypatch.setattr(dist, "init_process_group", started)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with contextlib.suppress(KeyboardInterrupt), world.process_group():
        pass
    assert options[0]["timeout"] >= timedelta(hours=12)
