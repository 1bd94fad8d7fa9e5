"""Number formats of the weights: frozen ones in half precision, trained ones in fp32.

Mixed precision casts the weights of a linear layer at each use. Kept in that format, frozen ones compute the same, bit
for bit, in half the memory. Embeddings are kept so where that rounds nothing, as with a checkpoint that is in half
precision itself; their output is fp32, as before. All else stays in fp32: norms, convolutions, experts of a mixture,
whatever is trained, and with it gradients and optimizer.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..config.methods import AnyMethod, Full, Head, QLora
from ..tasks.objective import at_least_fp32
from .device import DTYPES, Precision
from .layers import find_layers, in_modules, is_linear
from .unread import unread


def frozen_dtype(wanted: Precision | Literal["auto"], method: AnyMethod, precision: Precision) -> Precision:
    """What frozen weights are kept in; `wanted` is `model.dtype`, and `precision` that of the forward pass.

    `auto` is the precision of the forward pass where the body is frozen and saved without its weights, else fp32.
    """
    if wanted != "auto":
        return wanted
    return "fp32" if isinstance(method, Full | Head | QLora) else precision


def keep_frozen(model: nn.Module, head: Iterable[str], dtype: Precision, stored: torch.dtype | None = None) -> None:
    """Let the frozen weights of a model, to which the method has been applied, be of this format, in place.

    `head` are modules that stay in fp32, such as the original that peft keeps of a trained head. `stored` is the format
    of the checkpoint, where a model without weights cannot show it.
    """
    if dtype == "fp32":
        return
    half = DTYPES[dtype]
    tables = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    # Subclasses, such as Gemma's, scale what they look up, in the format of the table.
    scaled = {id(table.weight) for table in tables if type(table) is not nn.Embedding}
    for table in tables:
        weight = table.weight
        if id(weight) not in scaled and not weight.requires_grad and _is_lossless(weight, half, stored):
            weight.data = weight.data.to(half)
            table.register_forward_hook(_in_fp32)
    shared = {id(table.weight) for table in tables}
    for name, module in model.named_modules():
        if is_linear(module) and not in_modules(f"{name}.weight", head):
            for parameter in module.parameters(recurse=False):
                if not parameter.requires_grad and id(parameter) not in shared:
                    parameter.data = parameter.data.to(half)
    for parameter in model.parameters():  # the file of a checkpoint is mapped into memory while a weight lies in it
        if parameter.dtype != half:
            parameter.data = parameter.data.clone()


@contextmanager
def loaded_in(dtype: Precision, make_skeleton: Callable[[], Any]) -> Iterator[torch.dtype]:
    """The option `dtype` of `from_pretrained`, with which linear layers inside the transformer layers have this format.

    All other weights come in fp32, by transformers' own list of a class's modules that must not be in half precision.
    `make_skeleton` makes the model on the meta device.
    """
    if dtype == "fp32":
        yield torch.float32
        return
    skeleton = make_skeleton()
    linears = {
        f"{layer}.{name}"
        for layer, module in find_layers(skeleton).items()
        for name, part in module.named_modules()
        if is_linear(part)
    }
    names = [name for name, _ in skeleton.named_parameters() if name.rpartition(".")[0] not in linears]
    cls, attribute = type(skeleton), "_keep_in_fp32_modules_strict"
    before = getattr(cls, attribute)
    setattr(cls, attribute, {*(before or ()), *map(re.escape, names)})
    try:
        yield DTYPES[dtype]
    finally:
        setattr(cls, attribute, before)


def _is_lossless(weight: Tensor, half: torch.dtype, stored: torch.dtype | None) -> bool:
    file = unread(weight)
    if weight.is_meta and not file:
        return stored == half
    starts = range(0, len(weight), 4096)
    parts = (file.read(start, start + 4096) if file else weight.detach()[start : start + 4096] for start in starts)
    return all(torch.equal(rows.to(half).to(rows.dtype), rows) for rows in parts)


def _in_fp32(_: Any, __: Any, output: Tensor) -> Tensor:
    return at_least_fp32(output)
