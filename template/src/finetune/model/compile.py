"""torch.compile of the layers: the code of one serves all that are alike, and names of weights stay as they are."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..errors import UserError
from ..hub.client import first_line
from .layers import find_layers, unwrap_model


def compile_layers(model: Any, device: torch.device) -> None:
    """Compile each layer of the body in place, for inputs of any length; the whole model where no layers are found.

    Raises UserError if nothing can be compiled here.
    """
    require_compiler(device)
    for module in find_layers(unwrap_model(model)).values() or [unwrap_model(model)]:
        module.compile(dynamic=True)


def require_compiler(device: torch.device) -> None:
    """Compile a sum: what is missing, a compiler or its headers, cannot be told by names and paths."""
    try:
        torch.compile(lambda x: x + 1)(torch.ones(2, device=device))
    except Exception as error:
        raise UserError(
            f"train.compile: nothing can be compiled for '{device}' here ({first_line(error)}): install a C++ "
            f"compiler, and Triton for a GPU, or set it to false"
        ) from error


@contextmanager
def uncompiled(model: torch.nn.Module) -> Iterator[None]:
    """Meanwhile as if nothing were compiled: what is found in a validation must be what `evaluate` finds again."""
    if all(module._compiled_call_impl is None for module in model.modules()):
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield
