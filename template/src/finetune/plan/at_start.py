"""The line in which a training says, before its first step, whether it fits in the memory that is free."""

from copy import deepcopy
from typing import Any

import torch
from torch import nn

from ..config.config import Config
from ..config.methods import QLora
from ..model.activation_checkpointing import checkpoints_activations
from ..model.device import free_memory
from ..model.forward import pass_tokens
from ..model.size import memory, parameter_counts
from ..train.build import Setup
from ..train.optim import state_bytes
from .activations import activation_bytes
from .fit import ROOM
from .plan import checkpointed_bytes

LARGE_MODEL = 50_000_000
"""Parameters from which on the activations are counted, in about a second, which loading such a model takes anyway."""


def describe_fit(config: Config, setup: Setup) -> str | None:
    """Whether weights, gradients, optimizer state and activations of the largest micro-batch fit.

    None for small models, and where the model on the device is not the whole one: quantized, or sharded.
    """
    model, device = setup.model, setup.model.device
    is_sharded = setup.world.size > 1 and not setup.ddp
    if parameter_counts(model)[1] < LARGE_MODEL or isinstance(config.method, QLora) or is_sharded:
        return None
    width = int(setup.train.lengths.max())
    tokens = pass_tokens(config.train.micro_batch_tokens, device)
    rows = max(1, min(-(-config.train.batch_size // setup.world.size), tokens // width))
    needs = memory(model, state_bytes(config.optim, model))
    parts = activation_bytes(
        config, without_memory(model), rows, width, precision=setup.precision, on_gpu=device.type != "cpu"
    )
    if parts is None:
        return None
    activations, logits = parts
    if checkpoints_activations(config):
        activations = checkpointed_bytes(model, activations, rows * width)
    total = sum(needs.values()) + activations + logits
    free = free_memory(device) + needs["weights"]  # which are there already
    sizes = f"about {total / 1e9:,.1f} of {free / 1e9:,.1f} GB free"
    if total <= ROOM * free:
        return f"fits: {sizes}"
    remedy = "lower train.micro_batch_tokens"
    if not checkpoints_activations(config):
        remedy = "set train.activation_checkpointing to true"
    return f"[yellow]may not fit: {sizes}: {remedy}; `finetune plan` computes what each change saves[/]"


def without_memory(model: Any) -> Any:
    """A copy on the meta device; tied weights stay tied."""
    copies: dict[int, Any] = {
        id(parameter): nn.Parameter(torch.empty_like(parameter, device="meta"), parameter.requires_grad)
        for parameter in model.parameters()
    }
    copies |= {id(buffer): torch.empty_like(buffer, device="meta") for buffer in model.buffers()}
    return deepcopy(model, copies)
