"""torch.compile: compiled layers compute the same, in fp64, for texts of any length; weights keep their names."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Project

from finetune.config.config import Config
from finetune.config.load import load_config
from finetune.errors import UserError
from finetune.inference import infer
from finetune.model.compile import require_compiler
from finetune.train import loop as training
from finetune.train.background import background_writer
from finetune.train.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from finetune.train.optim import make_optimizer, make_schedule


def set_up(project: Project, task: str, *overrides: str) -> tuple[Config, training.Setup]:
    """In fp64, without dropout, with weights that matter, and steps that are cut into micro-batches."""
    loop = {"batch_size": 4, "micro_batch_tokens": 24, "device": "cpu"}
    config = load_config(project.config(task, train=loop), list(overrides))
    training.set_seed(config.train.seed)
    setup = training.build(config)
    for module in setup.model.double().modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for parameter in setup.model.parameters():
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=0.5)
    setup.optimizer = make_optimizer(config.optim, setup.model)
    setup.schedule = make_schedule(config.optim, setup.optimizer, 10)
    return config, setup


def steps(config: Config, setup: training.Setup) -> list[tuple[float, float]]:
    batches = itertools.islice(training.step_batches(config, setup, 0), 4)
    taken = [training.optimizer_step(config, setup, rows) for _, rows in batches]
    return [(step.loss, step.grad_norm) for step in taken]


def looked_through(setup: training.Setup) -> Any:
    parts = (setup.model, setup.task, setup.tokenizer, setup.train.features)
    found = infer(*parts, "validation", budget=50, precision="fp32")
    return found.loss, [value.tolist() if isinstance(value, np.ndarray) else value for value in found.decoded]


def assert_equals_eager(project: Project, task: str, *overrides: str) -> None:
    (config, eager), (_, compiled) = (set_up(project, task, *overrides, f"train.compile={on}") for on in (False, True))
    assert looked_through(compiled) == looked_through(eager)  # to the bit, for nothing compiled runs
    for got, want in zip(steps(config, compiled), steps(config, eager), strict=True):
        assert got == pytest.approx(want, rel=1e-10)
    expected = eager.model.state_dict()
    assert list(compiled.model.state_dict()) == list(expected)
    for name, weight in compiled.model.state_dict().items():
        torch.testing.assert_close(weight, expected[name], rtol=1e-10, atol=1e-10)

    with background_writer(compiled.world) as writer:
        save_checkpoint(Path("saved"), TrainingState(), compiled, writer, keep=1)
    load_checkpoint(Path("saved/step-0"), eager)
    assert looked_through(eager) == looked_through(compiled)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Of the compiler: starting others takes longer than they save."""
    from torch._inductor import config

    with config.patch(compile_threads=1):
        yield


@pytest.mark.usefixtures("one_thread")
def test_compile_equals_eager(project: Project) -> None:
    try:
        require_compiler(torch.device("cpu"))
    except UserError as error:
        pytest.skip(str(error))
    # Whole steps: for a single row another program is compiled, which takes as long again.
    assert_equals_eager(project, "text-classification", "train.micro_batch_tokens=1000")
    assert_equals_eager(
        project, "text-classification", "train.micro_batch_tokens=1000", "train.activation_checkpointing=true"
    )


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything but the compiler, which takes most of the time: what is traced runs as it is."""
    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda *a, **kw: compile_module(*a, **kw, backend="eager"))
    monkeypatch.setattr("finetune.model.compile.require_compiler", lambda _: None)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(
    ("task", "method", "overrides"),
    [
        ("text-generation", "full", ()),
        ("token-classification", "adapter", ()),
        ("chat", "lora", ()),
        ("translation", "lora", ("train.activation_checkpointing=true",)),
        ("text-classification", "full", ("train.activation_checkpointing=true",)),
    ],
)
def test_what_is_traced_equals_eager(task: str, method: str, overrides: tuple[str, ...], project: Project) -> None:
    assert_equals_eager(project, task, f"method={{type: {method}}}", *overrides)


def test_without_a_compiler_nothing_is_begun(
    project: Project, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("no compiler\nand more")

    monkeypatch.setattr(torch, "compile", fails)
    said = refused("train", project.config("text-classification", train={"device": "cpu"}), "train.compile=true")
    assert said.startswith(
        "train.compile: nothing can be compiled for 'cpu' here (no compiler): install a C++ compiler"
    )
    assert not list(Path("runs").glob("[!.]*/*"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("train.packing=true", "train.packing is true as well"),
        ("method={type: prefix}", "method.type is prefix, which gives each layer its own keys"),
    ],
)
def test_what_is_not_compiled_is_refused(
    change: str, reason: str, project: Project, refused: Callable[..., str]
) -> None:
    said = refused("train", project.config("token-classification"), "train.compile=true", change)
    assert f"train.compile is true, but {reason}" in said


@pytest.mark.usefixtures("one_thread")
def test_compiled_layers_recompute_the_same_dropout(project: Project) -> None:
    """With activation checkpointing the gradient is that of the loss with the same dropout: a difference quotient."""
    try:
        require_compiler(torch.device("cpu"))
    except UserError as error:
        pytest.skip(str(error))
    overrides = ("train.compile=true", "train.activation_checkpointing=true", "train.micro_batch_tokens=1000")
    _, setup = set_up(project, "text-classification", *overrides)
    for module in setup.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.3
    batch = setup.batching.make_batch(setup.train.features, range(6))

    def loss() -> torch.Tensor:
        torch.manual_seed(5)
        return setup.task.loss(training.forward(setup.model, setup.task, batch, "fp32"), batch.labels)

    loss().backward()
    with torch.no_grad():
        slope = sum(float(p.grad.square().sum()) for p in setup.trainable if p.grad is not None)
        size, values = 1e-6 / slope**0.5, []
        for sign in (1, -2):  # a step to one side, and two back to the other
            for parameter in setup.trainable:
                if parameter.grad is not None:
                    parameter.add_(parameter.grad, alpha=sign * size)
            with torch.enable_grad():  # what runs without a gradient is compiled by itself
                values.append(float(loss().detach()))
    assert (values[0] - values[1]) / (2 * size) == pytest.approx(slope, rel=1e-5)
