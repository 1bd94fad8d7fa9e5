"""Mixed precision in fp16: loss scaling, skipped steps, and a resume that goes on with the same scale."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUIET, Project, assert_resumes_to_the_bit, build

from finetune.config.config import Config
from finetune.config.load import load_config
from finetune.train import loop as training
from finetune.train.guards import NotFiniteError
from finetune.train.scaling import MOST_SKIPPED

CPU = torch.device("cpu")
TOO_LARGE = 2.0**100
"""A first scale at which the gradients overflow in fp16."""


def start_at(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let trainings start with this loss scale."""
    scaler = torch.amp.GradScaler
    monkeypatch.setattr(
        torch.amp, "GradScaler", lambda device, enabled: scaler(device, init_scale=scale, enabled=enabled)
    )


def config_of(project: Project, *overrides: str) -> Config:
    train = {"device": "cpu", "precision": "fp16", "log_every": 1}
    return load_config(project.config("text-classification", train=train), list(overrides))


def gradients(config: Config, setup: training.Setup) -> list[torch.Tensor]:
    """Of one step, after they were unscaled and clipped."""
    found: list[torch.Tensor] = []
    setup.optimizer.register_step_pre_hook(lambda *_: found.extend(p.grad.clone() for p in setup.trainable))
    training.optimizer_step(config, setup, range(4))
    return found


def test_gradients_are_those_of_fp32(project: Project) -> None:
    """Up to rounding, and clipped as they would be."""
    whole, half = (config_of(project, f"train.precision={name}", "train.clip_norm=0.1") for name in ("fp32", "fp16"))
    expected, found = (torch.cat([g.flatten() for g in gradients(c, build(c))]) for c in (whole, half))
    assert float(found.norm()) == pytest.approx(0.1, rel=1e-3)
    assert float((found - expected).norm()) < 0.02 * float(expected.norm())


def test_small_gradients_are_scaled(project: Project) -> None:
    """In fp16 a number below 6e-8 is 0; of a loss that is not scaled, some gradients would be."""
    config = config_of(project)
    setup = build(config)
    seen: list[torch.Tensor] = []
    setup.model.classifier.register_full_backward_hook(lambda _, __, output: seen.append(output[0]))
    training.optimizer_step(config, setup, range(4))
    assert seen[0].dtype == torch.float16
    assert float(seen[0].abs().max()) > 100


def test_an_overflow_skips_the_step_and_halves_the_scale(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    start_at(TOO_LARGE, monkeypatch)
    config = config_of(project, "method={type: adalora}")
    setup = build(config)
    before = {name: tensor.clone() for name, tensor in setup.model.state_dict().items()}
    taken = training.optimizer_step(config, setup, range(4))
    assert (taken.skipped, taken.grad_norm) == (1, 0.0)
    assert math.isfinite(taken.loss)
    assert setup.scaler.state_dict()["scaler"]["scale"] == TOO_LARGE / 2
    assert setup.schedule.last_epoch == 0
    for name, tensor in setup.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_skipped_steps_are_in_the_log(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    start_at(2.0**20, monkeypatch)
    assert training.train(config_of(project, "train.max_steps=8"), console=QUIET)
    skipped = [record.get("skipped_steps", 0) for record in project.metrics("config") if record["kind"] == "train"]
    assert skipped[0] == 1
    assert 1 < sum(skipped) < 8


def test_a_training_that_only_overflows_ends(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    start_at(TOO_LARGE, monkeypatch)
    config = config_of(project)
    setup = build(config)
    monkeypatch.setattr(setup.scaler._scaler, "update", lambda: None)
    monkeypatch.setattr(setup.scaler._scaler, "unscale_", lambda optimizer: None)
    monkeypatch.setattr(setup.scaler._scaler, "step", lambda optimizer: None)
    for _ in range(MOST_SKIPPED):
        training.optimizer_step(config, setup, range(4))
    with pytest.raises(NotFiniteError, match="the gradient norm"):
        training.optimizer_step(config, setup, range(4))


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_a_loss_that_is_not_finite_ends_it_at_once(precision: str, project: Project) -> None:
    config = config_of(project, f"train.precision={precision}")
    setup = build(config)
    torch.nn.init.constant_(setup.model.classifier.bias, math.nan)
    with pytest.raises(NotFiniteError, match="the loss is nan"):
        training.optimizer_step(config, setup, range(4))


def test_resume_is_bit_exact(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scale and the schedule go on where they were: some of the first steps were skipped."""
    start_at(2.0**20, monkeypatch)
    train: dict[str, Any] = {"device": "cpu", "precision": "fp16", "max_steps": 6, "eval_every": 3, "log_every": 3}
    path = project.config("text-classification", train={**train, "batch_size": 2}, optim={"lr": 0.01})
    assert_resumes_to_the_bit(project, path, 4, monkeypatch)
    state = torch.load(next(Path("runs").glob("*/checkpoints/step-6/trainer.pt")), weights_only=True)
    assert state["scaler"]["scaler"]["scale"] < 2.0**20
    assert state["schedule"]["last_epoch"] < 6
