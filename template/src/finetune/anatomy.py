"""Find the parts of a model that methods work on: its head, the layers of its body, and the linear maps in these."""

from collections.abc import Iterable
from typing import Any

from torch import nn

from .errors import UserError

# Names inside a layer: BERT, RoBERTa and DeBERTa-v2; DistilBERT; ModernBERT.
ATTENTION_OUTPUT = ("attention.output.dense", "attention.out_lin", "attn.Wo")
MLP_OUTPUT = ("output.dense", "ffn.lin2", "mlp.Wo")
KEYS = ("attention.self.key", "attention.self.key_proj", "attention.k_lin")
VALUES = ("attention.self.value", "attention.self.value_proj", "attention.v_lin")


def head_of(model: Any, new: Iterable[str] = ()) -> list[str]:
    """Names of the modules that turn what the body says into logits, and of those in `new`: all that must be trained.

    `new` are modules of the body that the pretrained checkpoint did not have, such as BERT's pooler.
    """
    head = [name for name, child in model.named_children() if name != model.base_model_prefix and has_weights(child)]
    return [*head, *new]


def has_weights(module: nn.Module) -> bool:
    """Whether there is anything to train in it."""
    return next(module.parameters(), None) is not None


def in_modules(parameter: str, modules: Iterable[str]) -> bool:
    """Whether a parameter belongs to one of the modules, also where a library has wrapped the model or the module."""
    return any(f".{name}." in f".{parameter}" for name in modules)


def layers_of(model: Any, method: str) -> dict[str, nn.Module]:
    """The layers of the body by their full names. Raises UserError, in the name of `method`, if they are not found."""
    depth = model.config.num_hidden_layers
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth and name.startswith(model.base_model_prefix):
            return {f"{name}.{index}": layer for index, layer in enumerate(module)}
    raise _unknown(model, method)


def linears_of(model: Any, method: str) -> dict[str, str]:
    """Every linear map in the layers of the body: its name inside its layer by its full name."""
    return {
        f"{prefix}.{name}": name
        for prefix, layer in layers_of(model, method).items()
        for name, module in layer.named_modules()
        if isinstance(module, nn.Linear)
    }


def find_in_layers(model: Any, names: Iterable[str], method: str) -> dict[str, nn.Linear]:
    """The linear maps of these names in all layers. Raises UserError if a layer has none of them."""
    found: dict[str, nn.Linear] = {}
    for prefix, layer in layers_of(model, method).items():
        modules = dict(layer.named_modules())
        present = [name for name in names if isinstance(modules.get(name), nn.Linear)]
        if not present:
            raise _unknown(model, method)
        found |= {f"{prefix}.{name}": modules[name] for name in present}
    return found


def _unknown(model: Any, method: str) -> UserError:
    return UserError(
        f"method.type: {method} does not know where the layers of a {model.config.model_type} model have what it "
        f"changes: use lora"
    )
