"""Activation checkpointing (Chen et al. 2016): recompute a layer's activations in the backward pass.

Of each layer only the input is kept for the backward pass, and one layer at a time is computed again: less memory for
about a third more computation. The dropout masks are drawn again from the saved random state, so that gradients are
those without checkpointing.
"""

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint
from transformers.cache_utils import Cache

from ..config.config import Config
from ..config.methods import QLora
from ..errors import UserError
from .layers import find_layers, unwrap_model

UNREPEATABLE = dict.fromkeys(["big_bird", "bigbird_pegasus"], "draw random blocks that cannot be drawn again")
"""Architectures whose layers do not compute the same a second time, and why."""


def checkpoints_activations(config: Config) -> bool:
    """What `train.activation_checkpointing` decides; `auto` is on for qlora, which is chosen for lack of memory."""
    wanted = config.train.activation_checkpointing
    return isinstance(config.method, QLora) if wanted == "auto" else wanted


def checkpoint_activations(model: Any) -> None:
    """Checkpoint the activations of each transformer layer, in place; where there is no gradient nothing changes.

    The layers are those that FSDP2 shards and torch.compile compiles. Their forward pass is replaced instead of their
    call, so that hooks, such as those of FSDP2, run once. Raises UserError if the architecture does not allow it.
    """
    body = unwrap_model(model)
    layers = find_layers(body)
    kind = body.config.model_type
    reason = "are not known" if not layers else UNREPEATABLE.get(kind)
    if reason:
        raise UserError(
            f"train.activation_checkpointing: the layers of a {kind} model {reason}: set it to false, and lower "
            f"train.micro_batch_tokens if memory runs out"
        )
    for layer in layers.values():
        layer.forward = partial(_checkpointed, layer.forward)


def _checkpointed(forward: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs, **options)
    return checkpoint(partial(_repeatable, forward), *inputs, use_reentrant=False, **options)


def _repeatable(forward: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
    """Without what a layer would change: the key-value cache of a prefix, which it appends to, is copied."""
    return forward(*map(_copied, inputs), **{name: _copied(value) for name, value in options.items()})


def _copied(value: Any) -> Any:
    """A copy of a key-value cache, None in place of an empty one; other values as they are."""
    if not isinstance(value, Cache):
        return value
    return _copied_cache(value) if value.get_seq_length() else None


def _copied_cache(cache: Cache) -> Cache:
    """A cache with the same tensors, which can be appended to by itself."""
    new = copy(cache)
    for name, part in vars(cache).items():
        match part:
            case list():
                setattr(new, name, [copy(layer) for layer in part])
            case dict():
                setattr(new, name, {**part})
            case Cache():
                setattr(new, name, _copied_cache(part))
    return new
