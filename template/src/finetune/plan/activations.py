"""Activations: the tensors that a forward pass keeps for the backward pass, counted without computing anything.

The forward pass runs on fake tensors, which have shapes, types and storages but no memory; autograd reports each tensor
that it saves. So mixed precision, frozen parameters, attention implementation and any architecture count as they are.
"""

from contextlib import nullcontext
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..config.config import Config
from ..dataset import new_task
from ..model.device import Precision, autocast
from ..model.layers import unwrap_model
from ..model.output_layer import chunk_bytes, in_chunks, token_scores
from ..tasks.settings import Seq2SeqSettings

CPU = torch.device("cpu")


class GpuKernels(TorchFunctionMode):
    """Save what the kernels of a GPU save: fused attention also with dropout, and dropout masks of one byte."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is F.scaled_dot_product_attention:
            kwargs["dropout_p"] = 0.0
        if func is F.dropout and kwargs.get("p", 0.5) and kwargs.get("training", True):
            return torch.native_dropout(args[0], kwargs["p"], True)[0]
        return func(*args, **kwargs)


def activation_bytes(
    config: Config, model: Any, rows: int, tokens: int, *, precision: Precision, on_gpu: bool
) -> tuple[int, int] | None:
    """Bytes of the activations of a micro-batch of `rows` rows with `tokens` tokens each, and those for its logits.

    `model` is on the meta device. None if its computation depends on the values of its inputs, as routing among experts
    does.
    """
    model = deepcopy(model)  # of tensors without memory
    with FakeTensorMode(allow_non_fake_inputs=True):
        own = _materialize(model)
        saved: dict[int, Tensor] = {}

        def save(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage._cdata not in own:
                saved[storage._cdata] = tensor  # also keeps the address from being used again
            return tensor

        try:
            with saved_tensors_hooks(save, _same), GpuKernels() if on_gpu else nullcontext():
                activations, ends = _forward(config, model, rows, tokens, precision, saved)
        except (DataDependentOutputException, DynamicOutputShapeException):
            return None
        return activations, ends + _size(saved) - activations


def _materialize(model: nn.Module) -> set[int]:
    """Put fake tensors of the CPU in place of those of the meta device; returns their storages. Tied ones stay tied."""
    fakes: dict[int, Any] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and id(parameter) not in fakes:
                fakes[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device=CPU), parameter.requires_grad)
            module._parameters[name] = fakes.get(id(parameter))
        for name, buffer in module._buffers.items():
            if buffer is not None and id(buffer) not in fakes:
                fakes[id(buffer)] = torch.empty_like(buffer, device=CPU)
            module._buffers[name] = fakes.get(id(buffer))
    return {tensor.untyped_storage()._cdata for tensor in fakes.values()}


def _forward(
    config: Config, model: Any, rows: int, tokens: int, precision: Precision, saved: dict[int, Tensor]
) -> tuple[int, int]:
    """Forward pass and a cross-entropy, which every loss of ours resembles in memory.

    Returns the bytes of what is saved before the loss, and those, in fp32, that come on top of all that is saved when
    the backward pass starts.
    """
    task = new_task(config)
    inputs = {name: torch.ones(rows, tokens, dtype=torch.long) for name in ("input_ids", "attention_mask")}
    if config.data.features:
        inputs["features"] = torch.zeros(rows, len(config.data.features))
    length = config.task.max_target_length if isinstance(config.task, Seq2SeqSettings) else tokens
    labels = torch.zeros(rows, length, dtype=torch.long)
    with autocast(precision, CPU):
        arguments = task.model_inputs(model, inputs, labels)
        if in_chunks(model, task, labels):
            token_scores(model, arguments, labels, lambda states: (states[0, :0], labels[0, :0]))
            layer = unwrap_model(model).get_output_embeddings()
            gradient = sum(parameter.nbytes for parameter in layer.parameters() if parameter.requires_grad)
            return _size(saved) - gradient, chunk_bytes(model, labels.numel())
        logits = task.logits(model(**arguments), inputs)
    activations = _size(saved)
    scores = logits.float().flatten(0, -2)
    F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long), reduction="sum")
    return activations, 2 * logits.numel() * torch.float32.itemsize  # the logits and their gradient


def _size(tensors: dict[int, Tensor]) -> int:
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors.values())


def _same(tensor: Tensor) -> Tensor:
    return tensor
