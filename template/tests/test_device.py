"""Devices and processes: what a training touches beside its own device, and how long ranks wait for each other."""

import contextlib
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
import transformers
from conftest import TASKS, Project, build
from torch import distributed as dist
from torch.overrides import TorchFunctionMode

from finetune.config.load import load_config
from finetune.distributed import world
from finetune.generate import generate
from finetune.model.device import free_memory, random_devices
from finetune.train import build as build_module


def test_generation_leaves_the_other_gpus_alone(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU it asks no GPU for its random state, and on a GPU only that one."""

    def touched(*_: Any) -> Any:
        raise AssertionError("a GPU that is not used")

    setup = build(load_config(project.config("text-generation", train={"device": "cpu"})))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_rng_state", touched)
    random = torch.get_rng_state()
    settings = setup.task.generation.model_copy(update={"temperature": 1.0})
    generate(setup.model.eval(), setup.tokenizer, [[5, 6]], settings, [1], budget=100, precision="fp32")
    assert torch.equal(random, torch.get_rng_state())
    assert random_devices(torch.device("cuda", 1)) == [torch.device("cuda", 1)]


def test_ranks_wait_for_a_long_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than the half hour of gloo."""
    options: list[dict[str, Any]] = []

    def started(_: str, **given: Any) -> None:
        options.append(given)
        raise KeyboardInterrupt

    monkeypatch.setattr(world, "rendezvous", lambda url, **given: iter([(dist.HashStore(), 0, 2)]))
    monkeypatch.setattr(dist, "init_process_group", started)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with contextlib.suppress(KeyboardInterrupt), world.process_group():
        pass
    assert options[0]["timeout"] >= timedelta(hours=12)


CPU, MPS = torch.device("cpu"), torch.device("mps")


def devices(values: Iterable[Any]) -> list[torch.device]:
    """Those of the arguments of a function that are devices."""
    return [value for value in values if isinstance(value, torch.device)]


class OnGpu(torch.Tensor):
    """A tensor that pretends to lie on an Apple GPU, which has no fp64."""

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        result = super().__torch_function__(function, types, arguments, options or {})
        if isinstance(result, torch.Tensor) and (function is torch.Tensor.cpu or CPU in devices(arguments)):
            return result.as_subclass(torch.Tensor)
        if isinstance(result, OnGpu) and result.dtype == torch.float64:
            raise TypeError("MPS framework doesn't support float64")
        return result


class AppleGpu(TorchFunctionMode):
    """Tensors that are moved to mps, or created there, become ones that pretend so."""

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        options = options or {}
        if MPS not in devices((*arguments, *options.values())):
            return function(*arguments, **options)
        given = [CPU if devices([value]) else value for value in arguments]
        result = function(*given, **{**options, "device": CPU} if "device" in options else options)
        if result.dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return result.as_subclass(OnGpu)


@pytest.mark.parametrize("task", TASKS)
def test_an_apple_gpu_needs_no_fp64(task: str, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training with validation of each task, on a device that refuses fp64 tensors."""
    monkeypatch.setattr(build_module, "choose_device", lambda wanted: MPS)
    monkeypatch.setattr(transformers.PreTrainedModel, "to", lambda model, device: model)
    monkeypatch.setattr(transformers.PreTrainedModel, "device", MPS)
    path = project.config(task, train={"max_steps": 2})
    with AppleGpu():
        project.train(path)
    assert project.metrics("config")[-1]["kind"] == "validation"


def test_free_memory_is_that_of_the_machine_within_the_limit_of_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2_000_000))
    assert free_memory(torch.device("cpu"), tmp_path) == 2_000_000
    for name, content in {"max": "max\n", "current": "900000\n", "stat": "anon 5\ninactive_file 100000\n"}.items():
        (tmp_path / f"memory.{name}").write_text(content)
    assert free_memory(torch.device("cpu"), tmp_path) == 2_000_000
    (tmp_path / "memory.max").write_text("1000000\n")
    assert free_memory(torch.device("cpu"), tmp_path) == 200_000
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3, 4))
    assert free_memory(torch.device("cuda")) == 3
