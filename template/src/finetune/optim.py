"""The optimizer, its parameter groups and its learning rate over time."""

import math
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_scheduler

from .config import Optim

SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}


def make_optimizer(config: Optim, model: torch.nn.Module) -> torch.optim.Optimizer:
    """AdamW or SGD over the trained parameters, in torch's fused form."""
    groups = parameter_groups(model, config.weight_decay)
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, fused=True)
    return torch.optim.AdamW(groups, lr=config.lr, betas=(config.beta1, config.beta2), eps=config.eps, fused=True)


def parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; biases and the scales of norms (all of one dimension) do not."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def make_schedule(config: Optim, optimizer: torch.optim.Optimizer, total_steps: int) -> LambdaLR:
    """The learning rate rises from 0 during the warm-up, then follows the schedule until `total_steps`."""
    warmup = math.ceil(config.warmup * total_steps) if config.warmup < 1 else int(config.warmup)
    schedule: LambdaLR = get_scheduler(
        SCHEDULES[config.schedule], optimizer, num_warmup_steps=warmup, num_training_steps=total_steps
    )
    return schedule
