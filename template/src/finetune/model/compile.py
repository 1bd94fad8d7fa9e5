"""torch.compile of each layer: layers of the same shape share the compiled code, and weights keep their names."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..errors import UserError
from ..hub_client import first_line
from .layers import find_layers, unwrap_model


def compile_layers(model: Any, device: torch.device) -> None:
    """Compile each layer in place with dynamic shapes; the whole model where no layers are found.

    Raises UserError if the machine cannot compile.
    """
    require_compiler(device)
    for module in find_layers(unwrap_model(model)).values() or [unwrap_model(model)]:
        module.compile(dynamic=True)


def require_compiler(device: torch.device) -> None:
    """Raise UserError if a trial compilation fails; a missing compiler or header shows in no other way."""
    try:
        torch.compile(lambda x: x + 1)(torch.ones(2, device=device))
    except Exception as error:
        raise UserError(
            f"train.compile: nothing can be compiled for '{device}' here ({first_line(error)}): install a C++ "
            f"compiler, and Triton for a GPU, or set it to false"
        ) from error


def is_compiled(model: torch.nn.Module) -> bool:
    """Whether any module of the model is compiled."""
    return any(module._compiled_call_impl is not None for module in model.modules())


@contextmanager
def uncompiled(model: torch.nn.Module) -> Iterator[None]:
    """Run eagerly in this context, so that validation computes exactly what `evaluate` computes later."""
    if not is_compiled(model):
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield
