"""Mixed precision: whether the forward pass runs in bf16 or fp16. On a CPU a probe of the model's layers decides."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from time import perf_counter, thread_time
from typing import Literal, cast

import torch
from torch.nn import functional as F

from ..config.config import Config
from .device import Precision, autocast, has_bf16, has_fp16
from .layers import is_linear, linear_shape

SMALL_MODEL = 2_000_000
"""Weights of linear layers below which `auto` is fp32 on a CPU: demos and tests then compute the same on every CPU."""
PROBE_TOKENS = 256
PROBE_WIDTH = 512
"""Wider layers are timed at this width: the probe stays short, and the gain from bf16 hardly changes beyond it."""
PROBE_REPEATS = 3
CLEARLY_FASTER = 0.8
"""Share of the time in fp32 that bf16 may take at most; a smaller gain is not worth the rounding."""

clock = perf_counter if os.name == "nt" else thread_time
"""Processor time, which does not grow with the load of the machine; Windows counts it in ticks of 16 ms."""


def wanted_precision(config: Config) -> Precision | Literal["auto"]:
    """What the config asks for: `auto` takes the format of frozen weights if that is set to half precision."""
    wanted, frozen = config.train.precision, config.model.dtype
    return frozen if wanted == "auto" and frozen != "fp32" else wanted


def training_precision(wanted: str, make_skeleton: Callable[[], torch.nn.Module], device: torch.device) -> Precision:
    """What a new run computes its forward pass in; `wanted` is `train.precision`.

    `make_skeleton` makes a model with the shapes of the run's, which only the probe of a CPU needs.

    `auto` takes bf16 on a GPU that has it, fp16 on an older one with tensor cores, and bf16 on a CPU that has it where
    the layers of the model gain from it. A probe may decide otherwise the next time, so a run must keep what was
    decided at its start.
    """
    if wanted != "auto":
        return cast("Precision", wanted)
    if has_bf16(device) and (device.type != "cpu" or bf16_is_faster(make_skeleton())):
        return "bf16"
    return "fp16" if has_fp16(device) else "fp32"


def inference_precision(wanted: str, trained_in: Precision, device: torch.device) -> Precision:
    """What a trained model is evaluated in: `auto` takes the precision of its training if the device has it.

    That of a training in fp16 is fp32 where there is no GPU, for CPUs have no fast fp16.
    """
    precision = trained_in if wanted == "auto" else cast("Precision", wanted)
    if precision == "fp16":
        return "fp16" if device.type == "cuda" else "fp32"
    return precision if wanted != "auto" or has_bf16(device) else "fp32"


def bf16_is_faster(model: torch.nn.Module) -> bool:
    """Whether the linear layers of a model are clearly faster in bf16 on this CPU."""
    weights: Counter[tuple[int, int]] = Counter()
    for module in model.modules():
        if is_linear(module):
            inputs, outputs = linear_shape(module)
            weights[min(inputs, PROBE_WIDTH), min(outputs, PROBE_WIDTH)] += inputs * outputs
    return weights.total() >= SMALL_MODEL and _probe(tuple(sorted(weights.items())))


@cache
def _probe(weights: tuple[tuple[tuple[int, int], int], ...]) -> bool:
    """Time layers of these shapes, in which the model has so many weights; takes about 0.1 s.

    It runs on one thread: several would wait for each other on a busy machine. The best of several runs counts.
    """
    fp32 = bf16 = 0.0
    with _one_thread():
        for (inputs, outputs), count in weights:
            runs = [
                (_seconds(inputs, outputs, "fp32"), _seconds(inputs, outputs, "bf16")) for _ in range(PROBE_REPEATS)
            ]
            layers = count / (inputs * outputs)
            fp32 += layers * min(seconds for seconds, _ in runs)
            bf16 += layers * min(seconds for _, seconds in runs)
    return bf16 < CLEARLY_FASTER * fp32


def _seconds(inputs: int, outputs: int, precision: Precision) -> float:
    """Time of the forward and the backward pass of a linear layer, including the casts of autocast."""
    x = torch.ones(PROBE_TOKENS, inputs, requires_grad=True)
    weight = torch.ones(outputs, inputs, requires_grad=True)
    start = clock()
    with autocast(precision, x.device):
        y = F.linear(x, weight)
    torch.autograd.grad(y, (x, weight), torch.ones_like(y))
    return clock() - start


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
