"""Loss scaling for fp16 (Micikevicius et al. 2018): the loss is multiplied, so that small gradients do not become 0.

A step whose gradients overflow is skipped and the scale halved; after 2000 steps without one it is doubled.
"""

import math
from typing import Any

import torch
from torch import Tensor

from ..model.device import Precision

MOST_SKIPPED = 20
"""Skipped steps in a row after which the training has diverged: the first scale, 2 ** 16, is below 1 by then."""


class LossScaler:
    """The loss scale of a training; without effect in other formats than fp16."""

    def __init__(self, precision: Precision, device: torch.device) -> None:
        self._scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self._skipped = 0
        """Skipped steps in a row."""

    def scale(self, loss: Tensor) -> Tensor:
        """The loss to call `backward` of."""
        return self._scaler.scale(loss)

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Divide the gradients by the scale, in place, before they are clipped."""
        self._scaler.unscale_(optimizer)

    def is_valid(self, loss: float, norm: float) -> bool:
        """Whether a step can go on: finite, or with an overflow of the gradients alone, which lowers the scale."""
        may_skip = self._scaler.is_enabled() and self._skipped < MOST_SKIPPED
        return math.isfinite(loss) and (math.isfinite(norm) or may_skip)

    def step(self, optimizer: torch.optim.Optimizer, norm: float) -> bool:
        """Let the optimizer take its step, unless the gradient norm is not finite; returns whether it did."""
        self._scaler.step(optimizer)
        self._scaler.update()
        self._skipped = 0 if math.isfinite(norm) else self._skipped + 1
        return not self._skipped

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint, in plain numbers."""
        return {"scaler": self._scaler.state_dict(), "skipped": self._skipped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._skipped = state["skipped"]
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(state["scaler"])
