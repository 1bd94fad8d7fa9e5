"""The optimizer, its parameter groups and its learning rate over time."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_scheduler

from ..config.config import Optim
from ..distributed.parallel import is_sharded
from ..errors import UserError
from ..model.size import nbytes, numel
from ..packages import require_packages
from .parameter_groups import parameter_groups

SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}
BLOCK, SMALL = 256, 4096
"""bitsandbytes scales each block of so many 8-bit values, and keeps the state of smaller parameters in fp32."""


def require_optimizer(config: Optim, device: torch.device) -> None:
    """Raise UserError if the optimizer needs bitsandbytes and this machine does not support it."""
    if not config.in_8_bits:
        return
    if device.type != "cuda":
        raise UserError(f"optim.name: {config.name} keeps its state on a CUDA GPU, not on '{device}': use adamw")
    require_packages("optim.name", "bitsandbytes")


def make_optimizer(config: Optim, model: torch.nn.Module, head: Sequence[str] = ()) -> torch.optim.Optimizer:
    """AdamW or SGD over the trainable parameters, fused; `head` names the modules that use `head_lr`."""
    groups = parameter_groups(config, model, head)
    if config.name == "sgd":
        fused = not is_sharded(model)  # torch has no fused SGD for sharded parameters
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, fused=fused)
    if config.in_8_bits:
        return make_8_bit_adamw(config, model, groups)
    return torch.optim.AdamW(groups, lr=config.lr, betas=(config.beta1, config.beta2), eps=config.eps, fused=True)


def make_8_bit_adamw(config: Optim, model: nn.Module, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """AdamW with block-wise quantized state; that of embeddings stays in fp32, as Dettmers et al. (2022) advise."""
    from bitsandbytes.optim import AdamW8bit, GlobalOptimManager

    optimizer: torch.optim.Optimizer = AdamW8bit(
        groups,
        lr=config.lr,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        min_8bit_size=SMALL,
        is_paged=config.name == "paged_adamw8bit",
    )
    # A manager of this optimizer alone: the library's is shared by all, and knows parameters by their addresses.
    manager = GlobalOptimManager.__new__(GlobalOptimManager)
    manager.initialize()
    manager.override_config([*embedding_tables(model)], "optim_bits", 32)
    manager.register_parameters(optimizer.param_groups)
    optimizer.mng = manager  # type: ignore[attr-defined]
    return optimizer


def page_state(optimizer: Any) -> None:
    """Move the state of a paged optimizer to paged memory again, where it is made but not loaded."""
    for parameter, state in optimizer.state.items():
        for name in ("state1", "state2"):
            state[name] = optimizer.get_state_buffer(parameter, dtype=state[name].dtype).copy_(state[name])


def embedding_tables(model: nn.Module) -> Iterator[torch.Tensor]:
    """The weights of all embedding modules."""
    return (module.weight for module in model.modules() if isinstance(module, nn.Embedding))


def state_bytes(config: Optim, model: nn.Module) -> int:
    """Bytes of the optimizer's state."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if config.name == "sgd":
        return sum(map(nbytes, trainable))
    in_fp32 = {id(table) for table in embedding_tables(model)}
    return sum(
        2 * (numel(parameter) + 4 * math.ceil(numel(parameter) / BLOCK))
        if config.in_8_bits and numel(parameter) >= SMALL and id(parameter) not in in_fp32
        else 2 * nbytes(parameter)
        for parameter in trainable
    )


def make_schedule(config: Optim, optimizer: torch.optim.Optimizer, total_steps: int) -> LambdaLR:
    """Learning-rate schedule: warm-up from 0, rounded up to full steps, then the schedule until `total_steps`."""
    warmup = math.ceil(config.warmup * total_steps) if config.warmup < 1 else int(config.warmup)
    if config.schedule == "plateau":
        return Plateau(optimizer, warmup, config.plateau_patience, config.plateau_factor)
    schedule: LambdaLR = get_scheduler(
        SCHEDULES[config.schedule], optimizer, num_warmup_steps=warmup, num_training_steps=total_steps
    )
    return schedule


def learning_rate(config: Optim, schedule: LambdaLR) -> float:
    """The present one of parameters whose peak is `optim.lr`."""
    return config.lr * float(schedule.lr_lambdas[0](schedule.last_epoch))


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
