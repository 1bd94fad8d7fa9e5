"""Find the parts of a model that methods work on: its head, the layers of its body, and the linear maps in these."""

from collections.abc import Iterable
from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from ..errors import UserError

# Names inside a layer: BERT, RoBERTa and DeBERTa-v2; DistilBERT; ModernBERT; GPT-2; Llama and Qwen2; T5; BART and
# Marian. A layer of a decoder that reads from an encoder has two attentions.
ATTENTION_OUTPUT = (
    "attention.output.dense", "attention.out_lin", "attn.Wo",
    "attn.c_proj", "self_attn.o_proj", "layer.0.SelfAttention.o", "layer.1.EncDecAttention.o",
    "self_attn.out_proj", "encoder_attn.out_proj",
)  # fmt: skip
MLP_OUTPUT = (
    "output.dense", "ffn.lin2", "mlp.Wo",
    "mlp.c_proj", "mlp.down_proj", "layer.1.DenseReluDense.wo", "layer.2.DenseReluDense.wo", "fc2",
)  # fmt: skip
# ModernBERT and GPT-2 make queries, keys and values with one matrix.
KEYS = (
    "attention.self.key", "attention.self.key_proj", "attention.k_lin", "attn.Wqkv",
    "attn.c_attn", "self_attn.k_proj", "layer.0.SelfAttention.k", "layer.1.EncDecAttention.k", "encoder_attn.k_proj",
)  # fmt: skip
VALUES = (
    "attention.self.value", "attention.self.value_proj", "attention.v_lin", "attn.Wqkv",
    "attn.c_attn", "self_attn.v_proj", "layer.0.SelfAttention.v", "layer.1.EncDecAttention.v", "encoder_attn.v_proj",
)  # fmt: skip


def head_of(model: Any, new: Iterable[str] = ()) -> list[str]:
    """Names of the modules that turn what the body says into logits, and of those in `new`: all that must be trained.

    `new` are modules of the body that the pretrained checkpoint did not have, such as BERT's pooler.
    """
    body = model.base_model  # the model itself where transformers does not keep the two apart, as in T5
    around = model.named_children() if body is not model else ()
    return [*(name for name, child in around if child is not body and has_weights(child)), *new]


def unwrap_model(model: Any) -> Any:
    """The model itself, where peft has wrapped it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def has_weights(module: nn.Module) -> bool:
    """Whether there is anything to train in it."""
    return next(module.parameters(), None) is not None


def in_modules(parameter: str, modules: Iterable[str]) -> bool:
    """Whether a parameter belongs to one of the modules, also where a library has wrapped the model or the module."""
    return any(f".{name}." in f".{parameter}" for name in modules)


def is_linear(module: nn.Module | None) -> bool:
    """Whether it is a linear map, also in GPT-2's form, which keeps the matrix transposed."""
    return isinstance(module, nn.Linear | Conv1D)


def linear_shape(linear: Any) -> tuple[int, int]:
    """Input and output features of a linear layer."""
    return (linear.nx, linear.nf) if isinstance(linear, Conv1D) else (linear.in_features, linear.out_features)


def layers_of(model: Any, method: str) -> dict[str, nn.Module]:
    """The layers of the body by their full names. Raises UserError, in the name of `method`, if they are not found."""
    layers = find_layers(model)
    if not layers:
        raise _unknown(model, method)
    return layers


def find_layers(model: Any) -> dict[str, nn.Module]:
    """The layers of the body by their full names, as far as it has any; an encoder-decoder has two stacks of them."""
    body = set(model.base_model.modules())
    stacks: dict[str, nn.ModuleList] = {}
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{stack}.") for stack in stacks)
        if isinstance(module, nn.ModuleList) and module in body and not inside and _has_linears(module):
            stacks[name] = module
    return {f"{name}.{index}": layer for name, stack in stacks.items() for index, layer in enumerate(stack)}


def linears_of(model: Any, method: str) -> dict[str, str]:
    """Every linear map in the layers of the body: its name inside its layer by its full name."""
    return {
        f"{prefix}.{name}": name
        for prefix, layer in layers_of(model, method).items()
        for name, module in layer.named_modules()
        if is_linear(module)
    }


def find_in_layers(model: Any, names: Iterable[str], method: str) -> dict[str, Any]:
    """The linear maps of these names in all layers. Raises UserError if a layer has none of them."""
    found: dict[str, Any] = {}
    for prefix, layer in layers_of(model, method).items():
        modules = dict(layer.named_modules())
        present = [name for name in names if is_linear(modules.get(name))]
        if not present:
            raise _unknown(model, method)
        found |= {f"{prefix}.{name}": modules[name] for name in present}
    return found


def reads_one_way(model: Any) -> bool:
    """Whether a token sees only those before it somewhere in the body, as in a decoder."""
    return any(getattr(module, "is_causal", False) for module in model.base_model.modules())


def _has_linears(module: nn.Module) -> bool:
    return any(is_linear(part) for part in module.modules())


def _unknown(model: Any, method: str) -> UserError:
    return UserError(
        f"method.type: {method} does not know where the layers of a {model.config.model_type} model have what it "
        f"changes: use lora"
    )
