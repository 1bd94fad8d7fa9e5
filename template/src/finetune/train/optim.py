"""The optimizer, its parameter groups and its learning rate over time."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_scheduler

from ..config.config import Optim
from ..distributed.parallel import is_sharded
from ..model.layers import in_modules

SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}
STATES = {"adamw": 2, "sgd": 1}
"""Values of optimizer state per trainable parameter."""


def make_optimizer(config: Optim, model: torch.nn.Module, head: Sequence[str] = ()) -> torch.optim.Optimizer:
    """AdamW or SGD over the trainable parameters, fused; `head` names the modules that use `head_lr`."""
    groups = parameter_groups(config, model, head)
    if config.name == "sgd":
        fused = not is_sharded(model)  # torch has no fused SGD for sharded parameters
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, fused=fused)
    return torch.optim.AdamW(groups, lr=config.lr, betas=(config.beta1, config.beta2), eps=config.eps, fused=True)


def parameter_groups(config: Optim, model: torch.nn.Module, head: Sequence[str]) -> list[dict[str, Any]]:
    """Weight decay for matrices; not for biases, norm scales and those of IA3. The head has its own learning rate."""
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            # What does not decay has one dimension, except the scales of IA3, which decay would pull from 1 to 0, and
            # T5's relative position bias.
            decays = parameter.ndim >= 2 and "ia3_l" not in name and "bias" not in name
            decay = config.weight_decay if decays else 0.0
            rate = config.head_lr if config.head_lr and in_modules(name, head) else config.lr
            groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": group, "lr": rate, "weight_decay": decay} for (rate, decay), group in groups.items()]


def make_schedule(config: Optim, optimizer: torch.optim.Optimizer, total_steps: int) -> LambdaLR:
    """Learning-rate schedule: warm-up from 0, rounded up to full steps, then the schedule until `total_steps`."""
    warmup = math.ceil(config.warmup * total_steps) if config.warmup < 1 else int(config.warmup)
    if config.schedule == "plateau":
        return Plateau(optimizer, warmup, config.plateau_patience, config.plateau_factor)
    schedule: LambdaLR = get_scheduler(
        SCHEDULES[config.schedule], optimizer, num_warmup_steps=warmup, num_training_steps=total_steps
    )
    return schedule


class Plateau(LambdaLR):
    """Reduce on plateau: constant after the warm-up, lowered when the validation metric stops improving.

    All that it knows is in its `state_dict`, so that a resumed training goes on in the same way.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, warmup: int, patience: int, factor: float) -> None:
        self.warmup, self.patience, self.factor = warmup, patience, factor
        self.scale = 1.0
        super().__init__(optimizer, self._share)

    def observe(self, stale: int) -> None:
        """After a validation, the number of those since the best one; takes effect with the next optimizer step."""
        if stale and stale % (self.patience + 1) == 0:
            self.scale *= self.factor
            self._last_lr = [base * self._share(self.last_epoch) for base in self.base_lrs]
            for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
                group["lr"] = rate

    def _share(self, step: int) -> float:
        return self.scale * (min(1.0, step / self.warmup) if self.warmup else 1.0)
