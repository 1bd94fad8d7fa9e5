"""The state of an optimizer in a checkpoint against the one that is to take it: what does not fit is named.

torch takes tensors of any shape, and converts their numbers: it would fail in a later step, or train on wrongly.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from ..model.tensor_checks import require_finite_values, require_kind, require_shape

NAMES = {torch.optim.AdamW: {"step", "exp_avg", "exp_avg_sq"}, torch.optim.SGD: {"momentum_buffer"}}
"""What an optimizer keeps for each parameter. That of bitsandbytes depends on the size of the parameter."""
SHAPED = {"exp_avg", "exp_avg_sq", "momentum_buffer", "state1", "state2"}
"""Tensors that have the shape of their parameter."""
QUANTIZED = {"state1", "state2"}
"""Those whose number format is not that of the parameter."""


def require_structure(path: Path, state: Any, optimizer: torch.optim.Optimizer, remedy: str) -> None:
    """Raise UserError unless `state` has the groups of the optimizer, and for each parameter what it keeps.

    `path` has the state in .json, and its tensors in .safetensors.
    """
    file, now = path.with_suffix(".json"), optimizer.state_dict()
    groups = now["param_groups"]
    if not isinstance(state, dict) or not isinstance(state.get("state"), dict) or "param_groups" not in state:
        raise UserError(f"{file}: optimizer is not the state of one: {remedy}")
    require_kind(file, "optimizer.param_groups", state["param_groups"], groups, remedy)
    if [group["params"] for group in state["param_groups"]] != [group["params"] for group in groups]:
        raise UserError(f"{file}: optimizer.param_groups has other parameters: {remedy}")
    count = sum(len(group["params"]) for group in groups)
    names = next((names for kind, names in NAMES.items() if isinstance(optimizer, kind)), None)
    for number, kept in state["state"].items():
        is_one = isinstance(number, int) and 0 <= number < count and isinstance(kept, dict)
        if not is_one or (names is not None and kept and kept.keys() != names):
            raise UserError(f"{file}: optimizer.state.{str(number)[:20]} is not what this optimizer keeps: {remedy}")


def require_fitting(path: Path, state: dict[str, Any], parameters: list[Tensor], remedy: str) -> None:
    """Raise UserError unless the tensors of a state fit its parameters and are finite."""
    file = path.with_suffix(".safetensors")
    for number, kept in state["state"].items():
        for name, value in kept.items():
            place = f"optimizer.{number}.{name}"
            if not isinstance(value, Tensor):
                if name in SHAPED and not (name == "momentum_buffer" and value is None):
                    raise UserError(f"{file}: '{place}' is missing: {remedy}")
                continue
            if name in SHAPED:
                dtype = parameters[number].dtype if name in QUANTIZED else value.dtype
                require_shape(file, place, value.shape, dtype, parameters[number], remedy, same_format=True)
            elif name == "step" and (value.numel() != 1 or not value.is_floating_point()):
                raise UserError(f"{file}: '{place}' is no number of steps: {remedy}")
            require_finite_values(file, place, getattr(value, "_local_tensor", value), remedy)
