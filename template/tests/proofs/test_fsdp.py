"""FSDP2: what is gathered in mixed precision, how the model is loaded, sharded checkpoints."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Project
from ranks import (
    Found,
    assert_same_file,
    both,
    config_of,
    exact,  # noqa: F401  a fixture
    in_two_processes,
    named,
    steps,
    trained,
)

from finetune.config.config import Config
from finetune.distributed import parallel
from finetune.distributed.world import SINGLE_PROCESS, OtherRankFailed, World
from finetune.model.layers import is_linear
from finetune.train import checkpoint
from finetune.train import loop as training
from finetune.train.checkpoint import newest_valid

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its processes; this system has no fork")

FSDP = ["train.parallel=fsdp", "train.max_steps=2", "train.micro_batch_tokens=30"]


@pytest.fixture
def no_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    """In fp32, for mixed precision begins there. Attention reads the probability of its module."""
    init = torch.nn.Dropout.__init__
    monkeypatch.setattr(torch.nn.Dropout, "__init__", lambda self, *_, **__: init(self, 0.0))


def gathered_both_ways(world: World, configs: list[Config]) -> list[tuple[Found, Found]]:
    """Steps with the linear layers gathered in bf16, and with all weights gathered in fp32 for autocast to cast."""
    shard, found = parallel.shard, []
    for config in configs:
        in_bf16 = steps(world, config)
        parallel.shard = lambda model, world, device, precision: shard(model, world, device, "fp32")
        found.append((in_bf16, steps(world, config)))
        parallel.shard = shard
    return found


@pytest.mark.usefixtures("no_dropout")
def test_linear_layers_gathered_in_bf16_compute_what_autocast_does(project: Project) -> None:
    """To the bit, so that the distance to one process in bf16 stays that of another order of the same sums."""
    bf16 = [*FSDP, "train.precision=bf16"]
    configs = [
        config_of(project, "text-classification", *bf16),
        config_of(project, "text-generation", *bf16),
        config_of(project, "translation", *bf16),
        config_of(project, "text-generation", "method={type: lora}", *bf16),
    ]
    alone = [steps(SINGLE_PROCESS, config) for config in configs]
    for rank in both(gathered_both_ways, configs):
        for (in_bf16, in_fp32), single in zip(rank, alone, strict=True):
            assert seen(in_bf16) == seen(in_fp32)
            assert seen(in_bf16) == pytest.approx(seen(single), rel=2e-2)
            assert all((weight == in_fp32[1][name]).all() for name, weight in in_bf16[1].items())


def seen(found: Found) -> list[float]:
    return [value for step in found[0] for value in (step.loss, step.grad_norm)]


def formats(world: World, config: Config) -> dict[str, set[torch.dtype]]:
    """In which formats weights are kept, gathered for a forward pass, and given to the optimizer as gradients."""
    training.set_seed(config.train.seed)
    setup = training.build(config, world)
    found: dict[str, set[torch.dtype]] = {"linear": set(), "other": set()}

    def note(module: Any, *_: Any) -> None:
        kind = "linear" if is_linear(module) else "other"
        found[kind].update(weight.dtype for weight in module.parameters(recurse=False))

    for module in setup.model.base_model.modules():
        module.register_forward_hook(note, prepend=True)

    def gradients(*_: Any) -> None:
        found["gradient"] = {parameter.grad.dtype for parameter in setup.trainable if parameter.grad is not None}

    setup.optimizer.register_step_pre_hook(gradients)
    training.optimizer_step(config, setup, range(3))
    return {**found, "kept": {weight.dtype for weight in setup.model.parameters()}}


@pytest.mark.parametrize(("precision", "linear"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_what_is_kept_gathered_and_reduced_in_which_format(
    precision: str, linear: torch.dtype, project: Project
) -> None:
    config = config_of(project, "text-generation", *FSDP, f"train.precision={precision}")
    kinds = {"other": {torch.float32}, "gradient": {torch.float32}, "kept": {torch.float32}}
    assert both(formats, config) == [{**kinds, "linear": {linear}}] * 2


def test_a_save_that_fails_loses_only_the_steps_since_the_last(project: Project) -> None:
    """The shards are written and the manifest is not; then a byte of a shard is changed. No file is a pickle of torch's
    distributed format."""
    options = ["train.parallel=fsdp", "train.checkpoint_format=sharded", "train.max_steps=4", "train.eval_every=1"]
    config = config_of(project, "text-classification", *options, "train.keep_checkpoints=9", "optim.name=sgd")
    assert both(trained, named(config, "whole")) == [True, True]
    for found in in_two_processes(trained_until_a_save_fails, named(config, "cut"), 3):
        assert isinstance(found, OSError | OtherRankFailed)
    checkpoints = Path("runs/cut/checkpoints")
    assert {path.name for path in checkpoints.iterdir()} == {"step-1", "step-2", "step-3.shards"}
    shard = max((checkpoints / "step-2/shards").iterdir())
    shard.write_bytes(shard.read_bytes()[:-1] + b"!")
    newest, damaged = newest_valid(checkpoints)
    assert (newest, [*damaged]) == (checkpoints / "step-1", [checkpoints / "step-2"])
    assert both(resumed, named(config, "cut")) == [True, True]
    assert {path.name for path in checkpoints.iterdir()} == {f"step-{step}" for step in range(1, 5)}
    last = sorted(Path("runs/whole/checkpoints/step-4/shards").iterdir())
    assert [path.suffix for path in last] == [".safetensors"] * 2
    for path in last:
        assert_same_file(path, checkpoints / "step-4/shards" / path.name)


def trained_until_a_save_fails(world: World, config: Config, step: int) -> bool:
    publish = checkpoint.publish

    def full(folder: Path, write: Any) -> None:
        if folder.name == f"step-{step}":
            raise OSError("the disk is full")
        publish(folder, write)

    checkpoint.publish = full
    return trained(world, config)


def resumed(world: World, config: Config) -> bool:
    return trained(world, config, resume=True)
