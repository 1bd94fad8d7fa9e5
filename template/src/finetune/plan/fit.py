"""Whether a planned training fits in memory, the largest micro-batch that does, and what to change if it does not."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil

import torch

from ..config.config import Config
from ..errors import UserError
from ..model.activation_checkpointing import checkpoints_activations
from ..model.device import choose_device, free_memory
from .plan import Plan, make_plan, most_rows

GIB = 2**30
ROOM = 0.9
"""Share of the free memory that a training gets: the rest is for the CUDA context and fragmentation."""
GPUS = (2, 4, 8)
"""Numbers of GPUs, of one machine, for which FSDP is planned."""

Reload = Callable[[list[str]], Config]
"""The config with more `key.sub=value` overrides. Raises UserError if they are not possible."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """Overrides of the config, and the memory that the training then takes on each of the GPUs, in bytes."""

    overrides: list[str]
    gpus: int
    total: int
    fits: bool


@dataclass(frozen=True, slots=True)
class Fit:
    """A training and the memory that is free for it, in bytes."""

    free: int
    fits: bool
    largest_micro_batch: int | None
    """Rows of the largest micro-batch that fits; 0 if not even one row does, None if activations are unknown."""
    remedies: list[Remedy]
    """If it does not fit: what to change, up to the first change with which it does."""


def free_here(config: Config) -> int | None:
    """Free memory of the device that `train.device` asks for; None if that is a GPU, and this machine has none."""
    has_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    return free_memory(choose_device(config.train.device)) if has_gpu or config.train.device == "cpu" else None


def make_fit(plan: Plan, free: int, reload: Reload, tokens: int | None) -> Fit:
    """Compare the plan for examples of `tokens` tokens (None: the most there can be) with the memory that is free."""
    room, remedies = int(ROOM * free), list[Remedy]()
    if plan.total > room:
        for overrides, made in _changes(plan, room, reload, tokens):
            remedies.append(Remedy(overrides, made.gpus, made.total, made.total <= room))
            if remedies[-1].fits:
                break
    return Fit(free, plan.total <= room, largest_micro_batch(reload([]), plan, room, tokens), remedies)


def largest_micro_batch(config: Config, plan: Plan, room: int, tokens: int | None) -> int | None:
    """Rows of the largest micro-batch that takes no more than `room`, up to the rows of a step on one GPU.

    Each row adds the same activations: how much, tells a second plan with another number of rows.
    """
    if not plan.complete:
        return None
    rows, width = plan.micro_batch
    most = min(ceil(config.train.batch_size / plan.gpus), most_rows(config, sys.maxsize, width))
    if most == 1:
        return int(plan.total <= room)
    other = 1 if rows > 1 else 2
    train = config.train.model_copy(update={"micro_batch_tokens": other * width})
    second = make_plan(config.model_copy(update={"train": train}), plan.gpus, tokens)
    of_row = max(1, (plan.total - second.total) // (rows - other))
    return max(0, min(most, rows + (room - plan.total) // of_row))


def _changes(plan: Plan, room: int, reload: Reload, tokens: int | None) -> Iterator[tuple[list[str], Plan]]:
    """Activation checkpointing, then a smaller micro-batch with it, then on top of these LoRA, or QLoRA, or FSDP.

    As overrides, each with its plan. What the config does not allow on this device is left out.
    """

    def planned(overrides: list[str], gpus: int) -> Plan | None:
        try:
            return make_plan(reload(overrides), gpus, tokens)
        except UserError:
            return None

    config, gpus, kept = reload([]), plan.gpus, list[str]()
    checkpointing = "train.activation_checkpointing=true"
    if not checkpoints_activations(config) and (made := planned([checkpointing], gpus)):
        plan, kept = made, [checkpointing]
        yield kept, plan
    if plan.micro_batch[0] > 1:
        rows = largest_micro_batch(reload(kept), plan, room, tokens) or 1
        kept = [*kept, f"train.micro_batch_tokens={rows * plan.micro_batch[1]}"]
        if made := planned(kept, gpus):
            yield kept, made
    fewer = {"full": ["lora", "qlora"], "qlora": []}.get(config.method.type, ["qlora"])
    others = [(f"method.type={method}", gpus) for method in fewer]
    for change, number in [*others, *(("train.parallel=fsdp", number) for number in GPUS if number > gpus)]:
        if made := planned([*kept, change], number):
            yield [*kept, change], made
