"""Two processes that train together, forked and connected by gloo."""

import itertools
import multiprocessing
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sklearn.metrics  # noqa: F401  once here, not in every pair of processes
import torch
from conftest import WRITING, Project
from rich.console import Console
from safetensors.torch import load_file
from torch import distributed as dist
from torch.distributed.tensor import DTensor

from finetune.config.config import Config
from finetune.config.load import load_config
from finetune.distributed.parallel import gather_full
from finetune.distributed.world import World
from finetune.tasks.objective import at_least_fp32
from finetune.train import loop as training
from finetune.train.start import FreshStart
from finetune.train.throughput import StepStats

QUIET = Console(quiet=True)
SHORT = ["train.max_steps=4", "train.eval_every=3"]
Found = tuple[list[StepStats], dict[str, torch.Tensor]]


def in_two_processes(work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `work` returns when two processes call it with their world; an exception comes back as what it is."""
    context = multiprocessing.get_context("fork")
    store = Path(tempfile.mkdtemp(), "store")

    def run(rank: int, results: Any) -> None:
        try:
            dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
            results.send(work(World(rank, 2), *arguments))
        except Exception as error:
            results.send(error)
        os._exit(0)  # the exit of pytest is not theirs

    pipes = [context.Pipe(duplex=False) for _ in range(2)]
    processes = [context.Process(target=run, args=(rank, sender)) for rank, (_, sender) in enumerate(pipes)]
    for process in processes:
        process.start()
    try:
        # Only a deadlock lasts so long, however busy the machine is.
        found = [receiver.recv() for receiver, _ in pipes if receiver.poll(3600)]
    finally:
        for process in processes:
            process.kill()
            process.join()
        shutil.rmtree(store.parent)
    assert len(found) == 2, "a process hangs"
    return found


def both(work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """The same, where nothing may fail."""
    found = in_two_processes(work, *arguments)
    for result in found:
        if isinstance(result, Exception):
            raise result
    return found


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """fp64, no dropout, and weights that are not nearly zero."""
    load_model = FreshStart.load_model

    def doubled(*arguments: Any) -> Any:
        model, base = load_model(*arguments)
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                torch.nn.init.normal_(parameter, std=0.5)
        return without_dropout(model).double(), base

    monkeypatch.setattr(FreshStart, "load_model", doubled)


def without_dropout(model: torch.nn.Module) -> torch.nn.Module:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def config_of(project: Project, task: str, *overrides: str) -> Config:
    """Ten steps or less of three examples, in micro-batches of some fifteen tokens, the gradient clipped."""
    loop = {"epochs": 3, "batch_size": 3, "micro_batch_tokens": 16, "log_every": 1, "clip_norm": 0.5, "device": "cpu"}
    short = ["task.generation.max_new_tokens=3"] if task in WRITING else []
    path = project.config(task, train=loop, optim={"lr": 1e-3, "warmup": 0})
    return load_config(path, [*short, *overrides])


def steps(world: World, config: Config) -> Found:
    """What the first steps tell, and the weights after them, whole."""
    training.set_seed(config.train.seed)
    setup = training.build(config, world)
    sharded = any(isinstance(parameter, DTensor) for parameter in setup.model.parameters())
    assert sharded == (world.size > 1 and config.train.parallel == "fsdp")
    batches = itertools.islice(training.step_batches(config, setup, 0), 5)  # more than an epoch
    told = [training.optimizer_step(config, setup, rows) for _, rows in batches]
    weights = gather_full(setup.model.state_dict(), World(0, world.size))
    return told, {name: at_least_fp32(tensor).numpy() for name, tensor in weights.items()}


def assert_same(found: Found, expected: Found, rtol: float = 1e-10) -> None:
    for got, want in zip(found[0], expected[0], strict=True):
        assert (got.count, got.examples, got.tokens, got.lr) == (want.count, want.examples, want.tokens, want.lr)
        assert (got.loss, got.grad_norm) == pytest.approx((want.loss, want.grad_norm), rel=rtol)
    assert found[1].keys() == expected[1].keys()
    for name, weight in found[1].items():
        torch.testing.assert_close(torch.tensor(weight), torch.tensor(expected[1][name]), rtol=rtol, atol=rtol)


def trained(world: World, config: Config, resume: bool = False, stop: int = 0) -> bool:
    """A training, in which the second process is told to stop in the course of step `stop`."""
    take, taken = training.optimizer_step, itertools.count(1)

    def optimizer_step(*arguments: Any) -> StepStats:
        if next(taken) == stop and world.rank == world.size - 1:
            signal.raise_signal(signal.SIGTERM)
        return take(*arguments)

    training.optimizer_step = optimizer_step
    try:
        return training.train(config, resume=resume, console=QUIET, world=world)
    finally:
        training.optimizer_step = take


def named(config: Config, name: str) -> Config:
    return config.model_copy(update={"run": config.run.model_copy(update={"name": name})})


def told(project: Project, run: str) -> list[dict[str, Any]]:
    times = {"examples_per_second", "tokens_per_second", "seconds", "padding"}
    return [{k: v for k, v in record.items() if k not in times} for record in project.metrics(run)]


def assert_close_files(one: str, two: str, rtol: float, number: int = 2) -> None:
    """The weights of the best model, and with 2 files those of the checkpoint."""
    paths = sorted(Path("runs", one).rglob("model.safetensors"))
    assert len(paths) == 2
    for path in paths[:number]:
        want, got = load_file(path), load_file(Path("runs", two, path.relative_to(Path("runs", one))))
        assert got.keys() == want.keys()
        for name, tensor in want.items():
            torch.testing.assert_close(got[name], tensor, rtol=rtol, atol=rtol)


def assert_same_file(one: Path, two: Path) -> None:
    """The same bytes of each tensor; the header of a shard has its entries in any order."""
    if one.parent.name != "shards":
        assert one.read_bytes() == two.read_bytes()
    want, got = load_file(one), load_file(two)
    assert got.keys() == want.keys()
    assert all(torch.equal(got[name], tensor) for name, tensor in want.items())
