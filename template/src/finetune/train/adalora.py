"""The two things that AdaLoRA (Zhang et al. 2023) does in the course of training, which peft leaves to the loop."""

from typing import Any

import torch
from torch import Tensor


class RankAllocation:
    """Shares a falling budget of ranks out to the matrices, by how much the loss depends on each rank."""

    def __init__(self, model: Any, orthogonality: float) -> None:
        """`model` is peft's model with AdaLoRA layers."""
        self._tuner = model.base_model
        self._config = model.peft_config[model.active_adapter]
        self._orthogonality = orthogonality
        self._right, self._left = (
            [parameter for name, parameter in model.named_parameters() if factor in name]
            for factor in ("lora_A", "lora_B")
        )

    def penalty(self) -> Tensor:
        """What to add to the loss of a step, once: how far the directions of the updates are from orthogonal."""
        products = [right @ right.T for right in self._right] + [left.T @ left for left in self._left]
        distances = [torch.linalg.matrix_norm(product - torch.eye(len(product)).to(product)) for product in products]
        return self._orthogonality * torch.stack(distances).mean()

    def update(self, step: int) -> None:
        """After optimizer step `step`, counted from 1, while its gradients are still there: weigh ranks, cut some."""
        self._tuner.update_and_allocate(step)

    def ranks(self) -> dict[str, int]:
        """Ranks that are in use now, by the name of the layer."""
        return {
            name.removesuffix(".lora_E.default"): int(parameter.count_nonzero())
            for name, parameter in self._tuner.named_parameters()
            if "lora_E" in name
        }

    def state_dict(self) -> dict[str, Any]:
        """All that a bit-exact continuation needs beside the weights."""
        allocator = self._tuner.rankallocator
        kept = {name: getattr(allocator, name) for name in ("ipt", "exp_avg_ipt", "exp_avg_unc")}
        return {**kept, "rank_pattern": self._config.rank_pattern}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self._config.rank_pattern = state["rank_pattern"]
        for name in ("ipt", "exp_avg_ipt", "exp_avg_unc"):
            on_device = {key: value.to(self._right[0].device) for key, value in state[name].items()}
            setattr(self._tuner.rankallocator, name, on_device)
