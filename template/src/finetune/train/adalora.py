"""AdaLoRA (Zhang et al. 2023): rank allocation and orthogonality penalty, which peft leaves to the loop."""

from typing import Any

import torch
from torch import Tensor


class RankAllocation:
    """Allocates a decreasing budget of ranks to the matrices, by the importance of each rank for the loss."""

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
        """Orthogonality penalty, added to the loss of a step once (a scalar)."""
        products = [right @ right.T for right in self._right] + [left.T @ left for left in self._left]
        distances = [torch.linalg.matrix_norm(product - torch.eye(len(product)).to(product)) for product in products]
        return self._orthogonality * torch.stack(distances).mean()

    def update(self, step: int) -> None:
        """After optimizer step `step`, counted from 1, before its gradients are cleared: score ranks and prune some."""
        self._tuner.update_and_allocate(step)

    def ranks(self) -> dict[str, int]:
        """Current ranks, by the name of the layer."""
        return {
            name.removesuffix(".lora_E.default"): int(parameter.count_nonzero())
            for name, parameter in self._tuner.named_parameters()
            if "lora_E" in name
        }

    def state_dict(self) -> dict[str, Any]:
        """State for a bit-exact resume, beside the weights."""
        allocator = self._tuner.rankallocator
        kept = {name: getattr(allocator, name) for name in ("ipt", "exp_avg_ipt", "exp_avg_unc")}
        return {**kept, "rank_pattern": self._config.rank_pattern}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`. Raises ValueError where a tensor has not the shape of its parameter."""
        shapes = {name: parameter.shape for name, parameter in self._tuner.model.named_parameters()}
        for name in ("ipt", "exp_avg_ipt", "exp_avg_unc"):
            for key, value in state[name].items():
                if value.shape != shapes.get(key):
                    raise ValueError(f"ranks.{name}.{key} has the shape {[*value.shape]}")
        self._config.rank_pattern = state["rank_pattern"]
        for name in ("ipt", "exp_avg_ipt", "exp_avg_unc"):
            on_device = {key: value.to(self._right[0].device) for key, value in state[name].items()}
            setattr(self._tuner.rankallocator, name, on_device)
