"""The optimizer and its schedules: weight decay, the learning rate of the head, plateau."""

from collections.abc import Callable

import pytest
import torch
from conftest import Project

from finetune.config.config import Optim
from finetune.config.load import load_config
from finetune.train import loop as training
from finetune.train.optim import Plateau, make_optimizer, make_schedule


@pytest.mark.parametrize("method", ["full", "head", "lora", "adapter"])
def test_head_lr(method: str, project: Project) -> None:
    path = project.config("text-classification", method={"type": method}, optim={"lr": 1e-4, "head_lr": 1e-2})
    setup = training.build(load_config(path))
    names = {id(parameter): name for name, parameter in setup.model.named_parameters() if parameter.requires_grad}
    rates = {names.pop(id(p)): group["initial_lr"] for group in setup.optimizer.param_groups for p in group["params"]}
    assert not names, "every trained parameter is in one group"
    assert {name: rate for name, rate in rates.items() if rate == 1e-2} == {
        name: 1e-2 for name in rates if "classifier" in name
    }
    assert all(rate in (1e-2, 1e-4) for rate in rates.values())


def test_head_lr_is_refused_without_a_new_head(project: Project, refused: Callable[..., str]) -> None:
    assert "optim.head_lr is set, but a generative model" in refused(
        "train", project.config("chat", optim={"head_lr": 1e-2})
    )


def test_scales_of_ia3_do_not_decay(project: Project) -> None:
    path = project.config("text-classification", method={"type": "ia3"})
    setup = training.build(load_config(path))
    decays = {id(p): group["weight_decay"] for group in setup.optimizer.param_groups for p in group["params"]}
    scales = [parameter for name, parameter in setup.model.named_parameters() if "ia3_l" in name]
    assert len(scales) == 6
    assert all(decays[id(parameter)] == 0 for parameter in scales)


def plateau(patience: int = 1, warmup: float = 2) -> tuple[torch.optim.Optimizer, Plateau]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    config = Optim(schedule="plateau", plateau_patience=patience, plateau_factor=0.5, warmup=warmup)
    schedule = make_schedule(config, optimizer, 100)
    assert isinstance(schedule, Plateau)
    return optimizer, schedule


def rate_after(optimizer: torch.optim.Optimizer, schedule: Plateau, stale: int) -> float:
    optimizer.step()
    schedule.step()
    schedule.observe(stale)
    assert schedule.get_last_lr() == [optimizer.param_groups[0]["lr"]]
    return float(optimizer.param_groups[0]["lr"])


STALE = [0, 0, 1, 2, 3, 0, 1, 2, 0]
"""Validations since the best one, of scores 0.1, 0.2, 0.2, 0.15, 0.19, 0.3, 0.3, 0.3, 0.4."""
RATES = [0.5, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_plateau_lowers_the_learning_rate() -> None:
    parts = plateau()
    assert [rate_after(*parts, stale) for stale in STALE] == RATES


@pytest.mark.parametrize("cut", range(1, len(STALE)))
def test_plateau_goes_on_after_a_resume(cut: int) -> None:
    optimizer, schedule = plateau()
    for stale in STALE[:cut]:
        rate_after(optimizer, schedule, stale)
    fresh_optimizer, fresh = plateau()
    fresh_optimizer.load_state_dict(optimizer.state_dict())
    fresh.load_state_dict(schedule.state_dict())
    assert [rate_after(fresh_optimizer, fresh, stale) for stale in STALE[cut:]] == RATES[cut:]


def test_plateau_follows_the_validation_of_a_run(project: Project) -> None:
    # So low that no weight changes: otherwise the loss may fall by a rounding, which is a better validation.
    optim = {"schedule": "plateau", "plateau_patience": 0, "lr": 1e-30, "warmup": 0}
    project.train(project.config("text-classification", train={"epochs": 4, "log_every": 1}, optim=optim))
    rates = {record["epoch"]: record["lr"] for record in project.metrics("config") if record["kind"] == "train"}
    assert [rates[epoch] for epoch in (1, 2, 3, 4)] == [1e-30, 1e-30, 5e-31, 2.5e-31]


def test_plateau_needs_a_validation(project: Project, refused: Callable[..., str]) -> None:
    path = project.config("text-classification", data={"validation": None}, optim={"schedule": "plateau"})
    said = refused("train", path)
    assert "optim.schedule is plateau, which follows the validation metric: set data.validation" in said


@pytest.mark.parametrize(("name", "schedule", "lr"), [("adamw", "cosine", 1e-3), ("sgd", "constant", 0.1)])
def test_every_optimizer_learns(name: str, schedule: str, lr: float, project: Project) -> None:
    optim = {"name": name, "schedule": schedule, "lr": lr}
    loop = {"epochs": 80, "batch_size": 10, "log_every": 1, "eval_every": 1000}
    project.train(project.config("text-classification", train=loop, optim=optim))
    losses = [record["loss"] for record in project.metrics("config") if record["kind"] == "train"]
    assert sum(losses[-6:]) < 0.5 * sum(losses[:6])


def test_weight_decay_groups(project: Project) -> None:
    setup = training.build(load_config(project.config("text-classification")))
    groups = setup.optimizer.param_groups
    assert [group["weight_decay"] for group in groups] == [0.01, 0.0]
    assert all(parameter.ndim >= 2 for parameter in groups[0]["params"])
    assert all(parameter.ndim == 1 for parameter in groups[1]["params"])
    held = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in setup.model.parameters())


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("linear", [0, 0.5, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
        ("cosine", [0, 0.5, 1, 0.9619, 0.8536, 0.6913, 0.5, 0.3087, 0.1464, 0.0381]),
        ("constant", [0, 0.5, 1, 1, 1, 1, 1, 1, 1, 1]),
    ],
)
def test_lr_schedule(schedule: str, expected: list[float], project: Project) -> None:
    optim = {"schedule": schedule, "warmup": 0.2, "lr": 1e-3}
    path = project.config("text-classification", train={"max_steps": 10, "epochs": 9, "log_every": 1}, optim=optim)
    project.train(path)
    rates = [record["lr"] / 1e-3 for record in project.metrics("config") if record["kind"] == "train"]
    assert rates == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_the_fused_optimizer_is_used(name: str) -> None:
    optimizer = make_optimizer(Optim(name=name), torch.nn.Linear(2, 2))
    assert optimizer.defaults["fused"] is True
