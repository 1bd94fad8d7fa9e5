"""Whether a training fits in the memory that is free, the largest micro-batch, and what to change."""

import json
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import Project
from rich.console import Console

from finetune.cli import main
from finetune.config.config import Config
from finetune.config.load import load_config
from finetune.model import forward as passes
from finetune.model.size import memory, parameter_counts
from finetune.plan import at_start
from finetune.plan import fit as fits
from finetune.plan.fit import ROOM, Fit, make_fit
from finetune.plan.plan import make_plan
from finetune.train import loop as training
from finetune.train.optim import state_bytes

LONG = ["train.batch_size=64", "model.max_length=64", "train.device=cpu", "train.precision=fp32"]


@pytest.fixture(autouse=True)
def _large_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU takes micro-batches as large as a GPU does."""
    monkeypatch.setattr(passes, "CPU_TOKENS", 10**6)


def config_of(project: Project, *overrides: str) -> Config:
    return load_config(project.config("text-classification"), [*LONG, *overrides])


def fit_of(project: Project, share: float, *overrides: str) -> Fit:
    """With this share of the memory that 64 rows take."""
    room = share * make_plan(config_of(project), 1).total
    plan = make_plan(config_of(project, *overrides), 1)
    return make_fit(plan, round(room / ROOM), lambda more: config_of(project, *overrides, *more), None)


def test_what_fits_needs_no_change(project: Project) -> None:
    fit = fit_of(project, 1.01)
    assert (fit.fits, fit.largest_micro_batch, fit.remedies) == (True, 64, [])


@pytest.mark.parametrize("tokens", [4096, 512])
def test_the_largest_micro_batch_fits_and_a_larger_one_does_not(project: Project, tokens: int) -> None:
    """Whatever micro-batch the config has."""
    fit = fit_of(project, 0.5, f"train.micro_batch_tokens={tokens}")
    assert fit.fits == (tokens == 512)
    rows = fit.largest_micro_batch
    assert rows
    assert 8 < rows < 64
    larger, fitting = (
        make_plan(config_of(project, f"train.micro_batch_tokens={count * 64}"), 1).total for count in (rows + 1, rows)
    )
    assert fitting <= ROOM * fit.free < larger


def test_the_largest_micro_batch_of_a_cpu_keeps_to_what_it_is_fast_with(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "CPU_TOKENS", 64 * 10)
    threads = torch.get_num_threads()
    assert fit_of(project, 1.01).largest_micro_batch == min(64, 10 * threads)
    monkeypatch.setattr(passes, "CPU_TOKENS", 1)
    assert fit_of(project, 1.01).largest_micro_batch == 1


def test_a_smaller_micro_batch_comes_before_other_methods(project: Project) -> None:
    *others, last = fit_of(project, 0.5).remedies
    assert not any(remedy.fits for remedy in others)
    assert last.fits
    assert last.overrides[-1].startswith("train.micro_batch_tokens=")
    assert last.total == make_plan(config_of(project, *last.overrides), last.gpus).total


def test_what_to_change_in_order(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of so little memory that nothing fits; QLoRA needs a GPU."""
    monkeypatch.setattr(fits, "GPUS", (2,))
    fit = fit_of(project, 0.001)
    assert (fit.fits, fit.largest_micro_batch) == (False, 0)
    assert not any(remedy.fits for remedy in fit.remedies)
    last = [remedy.overrides[-1] for remedy in fit.remedies]
    expected = ["train.micro_batch_tokens=64", "method.type=lora", "train.parallel=fsdp"]
    assert [change for change in last if change != "train.activation_checkpointing=true"] == expected
    assert [remedy.gpus for remedy in fit.remedies][-2:] == [1, 2]
    assert all("train.micro_batch_tokens=64" in remedy.overrides for remedy in fit.remedies[-2:])


def test_the_command(project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["plan", str(project.config("text-classification"))]
    assert main([*command, "--memory", "16", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["fit"] == {"free": 16 * 2**30, "fits": True, "largest_micro_batch": 4, "remedies": []}
    monkeypatch.setattr(fits, "GPUS", ())
    assert main([*command, "--memory", "0.001"]) == 0
    shown = capsys.readouterr().out
    assert "does not fit: " in shown
    assert "what to change" in shown
    assert main([*command, "train.device=cpu", "--gpus", "2"]) == 0
    shown = capsys.readouterr().out
    assert "largest micro-batch that fits: 2 rows of 32 tokens (train.micro_batch_tokens=64)" in shown
    assert "2 CPUs, data parallelism: ddp" in shown
    assert "memory per CPU" in shown
    assert "GPU" not in shown


@pytest.mark.parametrize("method", ["full", "lora", "prompt"])
def test_a_training_says_at_its_start_whether_it_fits(
    project: Project, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights, which are on the device already, count as free."""
    config = config_of(project, f"method.type={method}", "train.batch_size=4")
    setup = training.build(config)
    assert at_start.describe_fit(config, setup) is None  # a small model
    monkeypatch.setattr(at_start, "LARGE_MODEL", 0)
    whole = make_plan(config, 1, int(setup.train.lengths.max())).total
    weights = memory(setup.model, state_bytes(config.optim, setup.model))["weights"]
    for free, verdict in (
        (whole / ROOM - weights, "fits: about"),
        (whole / ROOM - weights - 1e4, "may not fit: about"),
    ):
        monkeypatch.setattr(at_start, "free_memory", lambda _, free=free: free)
        assert verdict in str(at_start.describe_fit(config, setup))
    assert "finetune plan" in str(at_start.describe_fit(config, setup))
    monkeypatch.setattr(setup, "world", SimpleNamespace(size=2))
    assert at_start.describe_fit(config, setup) is None  # sharded


def test_the_first_lines_of_a_training_have_it(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_start, "LARGE_MODEL", 0)
    shown = StringIO()
    config = config_of(project, "train.max_steps=1")
    assert training.train(config, console=Console(file=shown, width=200))
    assert "fits: about 0.0 of " in shown.getvalue()


def test_the_copy_without_memory_keeps_ties_and_what_is_trained(project: Project) -> None:
    path = project.config("text-generation", method={"type": "lora"})
    model: Any = training.build(load_config(path, ["train.device=cpu"])).model
    copy: Any = at_start.without_memory(model)
    assert parameter_counts(copy) == parameter_counts(model)
    assert {tensor.device.type for tensor in (*copy.parameters(), *copy.buffers())} == {"meta"}
    assert copy.get_output_embeddings().weight is copy.get_input_embeddings().weight
    assert [name for name, _ in copy.named_parameters()] == [name for name, _ in model.named_parameters()]
