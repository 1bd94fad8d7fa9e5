"""Which weights are trained."""

from typing import Any

from .config import AnyMethod, Full, Head


def apply_method(method: AnyMethod, model: Any) -> None:
    """Freeze what the method does not train, in place."""
    match method:
        case Full():
            pass
        case Head():
            model.base_model.requires_grad_(False)
