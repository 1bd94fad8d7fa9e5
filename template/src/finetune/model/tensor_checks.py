"""Tensors of a file against those that a model or an optimizer needs: each that does not fit is named.

A manifest that fits says that a file is as it was written, not who wrote it: another version, or somebody else.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from ..files import reads_content
from ..parsing import shortened


def require_tensors(
    path: Path, found: Mapping[str, Tensor], wanted: Mapping[str, Any], remedy: str, *, same_format: bool = False
) -> None:
    """Raise UserError unless a file has exactly the wanted tensors, in shape and kind, with finite values.

    `same_format`: also in the number format; otherwise floats of another precision fit.
    """
    require_names(path, found, wanted, remedy)
    for name, tensor in found.items():
        require_like(path, name, tensor, wanted[name], remedy, same_format=same_format)


def require_names(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any], remedy: str) -> None:
    """Raise UserError for a tensor that is missing, and for one that is not wanted."""
    if missing := sorted(wanted.keys() - found.keys()):
        raise UserError(f"{path}: '{shortened(missing[0])}' is missing: {remedy}")
    if others := sorted(found.keys() - wanted.keys()):
        raise UserError(f"{path}: '{shortened(others[0])}' is no tensor of this model: {remedy}")


def require_like(
    path: Path, name: str, tensor: Any, like: Any, remedy: str, *, same_format: bool = False, finite: bool = True
) -> None:
    """Raise UserError unless a tensor has the shape and the kind of numbers of another one, and finite values."""
    require_shape(path, name, tensor.shape, tensor.dtype, like, remedy, same_format=same_format)
    if finite:
        require_finite_values(path, name, tensor, remedy)


def require_shape(
    path: Path,
    name: str,
    shape: torch.Size,
    dtype: torch.dtype,
    like: Any,
    remedy: str,
    *,
    same_format: bool = False,
) -> None:
    """Raise UserError unless shape and kind of numbers are those of `like`, a tensor or one on the meta device."""
    name = shortened(name)
    if tuple(shape) != tuple(like.shape):
        raise UserError(f"{path}: '{name}' has the shape {[*shape]} instead of {[*like.shape]}: {remedy}")
    if dtype != like.dtype and (same_format or dtype.is_floating_point != like.dtype.is_floating_point):
        raise UserError(f"{path}: '{name}' has numbers of {dtype} instead of {like.dtype}: {remedy}")


def require_finite_values(path: Path | str, name: str, tensor: Tensor, remedy: str) -> None:
    """Raise UserError for a float that is NaN or infinite, but in a mask. Left out where checksums are."""
    if not reads_content() or not tensor.is_floating_point() or not tensor.numel() or "mask" in name:
        return
    values = tensor.float() if tensor.element_size() == 1 else tensor  # the 8-bit formats have no minimum
    if not torch.stack(values.aminmax()).isfinite().all():
        raise UserError(f"{path}: '{shortened(name)}' has values that are NaN or infinite: {remedy}")


def require_kind(path: Path, name: str, found: Any, like: Any, remedy: str) -> None:
    """Raise UserError unless a nested value has the keys, the lengths and the kinds of values of another one.

    Where either is None or a flag, both are settings that may differ, such as `fused`.
    """
    if isinstance(like, dict) and isinstance(found, dict) and found.keys() == like.keys():
        for key in like:
            require_kind(path, f"{name}.{key}", found[key], like[key], remedy)
    elif isinstance(like, list | tuple) and isinstance(found, list | tuple) and len(found) == len(like):
        for number, (inner, inner_like) in enumerate(zip(found, like, strict=True)):
            require_kind(path, f"{name}.{number}", inner, inner_like, remedy)
    elif found != like and not any(both(found) and both(like) for both in (_is_number, _is_flag)):
        raise UserError(f"{path}: {shortened(name)} has a value that it cannot have: {remedy}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_flag(value: Any) -> bool:
    return value is None or isinstance(value, bool)
