"""Memory per GPU and communication per step."""

from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

import torch
from torch import nn

from ..config.config import Config
from ..config.methods import QLora
from ..model.activation_checkpointing import checkpoints_activations
from ..model.device import Precision
from ..model.forward import pass_tokens
from ..model.frozen import frozen_dtype, keep_frozen
from ..model.layers import find_layers, head_modules, is_linear, linear_layer_names, unwrap_model
from ..model.precision import wanted_precision
from ..model.size import nbytes, numel, parameter_counts
from ..tasks.settings import Seq2SeqSettings
from ..train.optim import state_bytes
from .activations import activation_bytes
from .skeleton import make_skeleton

QUANTIZED = 0.5 + 1 / 64 + 1 / (64 * 64)
"""Bytes of a weight in 4 bits, with the scales of double quantization."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes are in bytes, for one device."""

    gpus: int
    """GPUs, or processes on CPUs."""
    device: str
    """GPU or CPU."""
    parallel: str
    precision: str
    parameters: int
    trainable: int
    micro_batch: tuple[int, int]
    """Rows, and tokens of each row, target included."""
    micro_batches: int
    """Of a step."""
    memory: dict[str, int]
    """The parts of the memory; without activations, if these cannot be computed."""
    communication: dict[str, int]
    """What each GPU sends in a step, by the kind of collective operation."""

    def as_dict(self) -> dict[str, Any]:
        """As a JSON document."""
        return {**asdict(self), "total": self.total, "complete": self.complete}

    @property
    def total(self) -> int:
        """All memory of the training, without the CUDA context and what the allocator does not reuse."""
        return sum(self.memory.values())

    @property
    def complete(self) -> bool:
        """Whether the activations could be computed."""
        return "activations" in self.memory


def make_plan(config: Config, gpus: int, tokens: int | None = None) -> Plan:
    """Plan the training on `gpus` GPUs, for examples of `tokens` tokens (by default the most there can be).

    Raises UserError as a training would.
    """
    model, stored = make_skeleton(config)
    on_gpu = config.train.device != "cpu"
    wanted = wanted_precision(config)
    precision: Precision = wanted if wanted != "auto" else "bf16" if on_gpu else "fp32"
    head = head_modules(unwrap_model(model)) if config.task.new_head else []
    keep_frozen(model, head, frozen_dtype(config.model.dtype, config.method, precision), stored)
    tokens = min(tokens or config.model.max_length, config.model.max_length)
    width = tokens + (config.task.max_target_length if isinstance(config.task, Seq2SeqSettings) else 0)
    examples = ceil(config.train.batch_size / gpus)  # of a step, on one GPU
    rows = min(examples, most_rows(config, config.train.micro_batch_tokens, width))
    micro_batches = ceil(examples / rows)

    trainable, parameters = parameter_counts(model)
    sharded = config.train.parallel == "fsdp" and gpus > 1
    weights, gradients = _weights(config, model), _bytes(model, trainable_only=True)
    memory = {
        "weights": weights,
        "gradients": gradients,
        "optimizer state": state_bytes(config.optim, model),
    }
    in_half = _gathered_in_half(model) if precision != "fp32" and config.train.compile is not True else set()
    if sharded:
        memory = {name: ceil(size / gpus) for name, size in memory.items()}
        memory["gathered layers"] = _gathered(model, in_half)
    communication = _communication(_gathered_bytes(model, in_half), gradients, gpus, micro_batches, sharded)
    if parts := activation_bytes(config, model, rows, tokens, precision=precision, on_gpu=on_gpu):
        activations, logits = parts
        if checkpoints_activations(config):
            activations = checkpointed_bytes(model, activations, rows * width)
        memory |= {"activations": activations, "logits": logits}
    return Plan(
        gpus=gpus,
        device="GPU" if on_gpu else "CPU",
        parallel="fsdp" if sharded else "ddp" if gpus > 1 else "none",
        precision=precision,
        parameters=parameters,
        trainable=trainable,
        micro_batch=(rows, width),
        micro_batches=micro_batches,
        memory=memory,
        communication=communication,
    )


def most_rows(config: Config, budget: int, width: int) -> int:
    """Rows of `width` tokens in a micro-batch of at most `budget` tokens."""
    return max(1, pass_tokens(budget, torch.device("cpu" if config.train.device == "cpu" else "cuda")) // width)


def _communication(weights: int, gradients: int, gpus: int, micro_batches: int, sharded: bool) -> dict[str, int]:
    """Bytes that each GPU sends in a step, by ring algorithms: `(gpus - 1) / gpus` of the data in each pass.

    `weights`: bytes of the weights as FSDP2 gathers them.
    """
    share = (gpus - 1) / gpus
    if gpus == 1:
        return {}
    if not sharded:  # gradient accumulation: once a step; all-reduce is a reduce-scatter and an all-gather
        return {"all-reduce of gradients": round(2 * share * gradients)}
    return {  # in each micro-batch, as gradients and gathered weights are not kept
        "all-gather of weights": round(2 * share * weights * micro_batches),  # forward and backward
        "reduce-scatter of gradients": round(share * gradients * micro_batches),
    }


def _bytes(model: nn.Module, *, trainable_only: bool = False) -> int:
    return sum(nbytes(p) for p in model.parameters() if p.requires_grad or not trainable_only)


def _weights(config: Config, model: Any) -> int:
    """Bytes of the weights; the linear layers inside the transformer layers are quantized by qlora."""
    total = _bytes(model)
    if not isinstance(config.method, QLora):
        return total
    body = unwrap_model(model)
    linears = {name.removesuffix(".base_layer") for name in linear_layer_names(body, "qlora") if "lora_" not in name}
    modules = [body.get_submodule(name) for name in linears]
    quantized = [numel(getattr(module, "base_layer", module).weight) for module in modules]
    return total - round(sum(quantized) * (4 - QUANTIZED))


def checkpointed_bytes(model: Any, activations: int, tokens: int) -> int:
    """Activation checkpointing: of all layers only the input, in fp32, and one layer complete."""
    layers = len(find_layers(unwrap_model(model)))
    return activations // layers + layers * tokens * int(unwrap_model(model).config.hidden_size) * 4


def _gathered(model: Any, in_half: set[int]) -> int:
    """FSDP2 gathers the full weights of a layer while it computes, and of the next one ahead of time."""
    body = unwrap_model(model)
    layers = [_gathered_bytes(layer, in_half) for layer in find_layers(body).values()]
    rest = _gathered_bytes(body, in_half) - sum(layers)  # embeddings and head, which stay gathered in the forward pass
    return rest + sum(sorted(layers)[-2:])


def _gathered_bytes(module: nn.Module, in_half: set[int]) -> int:
    return sum(2 * numel(p) if id(p) in in_half else nbytes(p) for p in module.parameters())


def _gathered_in_half(model: Any) -> set[int]:
    """Weights that FSDP2 gathers in half precision if the forward pass is: the linear layers of transformer layers."""
    layers = find_layers(unwrap_model(model)).values()
    return {id(p) for layer in layers for part in layer.modules() if is_linear(part) for p in part.parameters()}
