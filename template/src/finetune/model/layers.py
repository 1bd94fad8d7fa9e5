"""Find the modules that fine-tuning methods change: the head, the encoder and decoder layers, their linear layers."""

from collections.abc import Iterable
from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from ..errors import UserError

# Names inside a layer: BERT, RoBERTa and DeBERTa-v2; DistilBERT; ModernBERT; GPT-2; Llama and Qwen2; T5; BART and
# Marian. A decoder layer of an encoder-decoder has self-attention and cross-attention.
ATTENTION_OUTPUT = (
    "attention.output.dense", "attention.out_lin", "attn.Wo",
    "attn.c_proj", "self_attn.o_proj", "layer.0.SelfAttention.o", "layer.1.EncDecAttention.o",
    "self_attn.out_proj", "encoder_attn.out_proj",
)  # fmt: skip
MLP_OUTPUT = (
    "output.dense", "ffn.lin2", "mlp.Wo",
    "mlp.c_proj", "mlp.down_proj", "layer.1.DenseReluDense.wo", "layer.2.DenseReluDense.wo", "fc2",
)  # fmt: skip
# ModernBERT and GPT-2 compute queries, keys and values with one matrix.
KEYS = (
    "attention.self.key", "attention.self.key_proj", "attention.k_lin", "attn.Wqkv",
    "attn.c_attn", "self_attn.k_proj", "layer.0.SelfAttention.k", "layer.1.EncDecAttention.k", "encoder_attn.k_proj",
)  # fmt: skip
VALUES = (
    "attention.self.value", "attention.self.value_proj", "attention.v_lin", "attn.Wqkv",
    "attn.c_attn", "self_attn.v_proj", "layer.0.SelfAttention.v", "layer.1.EncDecAttention.v", "encoder_attn.v_proj",
)  # fmt: skip


def head_modules(model: Any, new: Iterable[str] = ()) -> list[str]:
    """Names of the modules that are trained whatever the method: those that turn hidden states into logits, and `new`.

    `new` are modules of the base model that the pretrained checkpoint lacks, such as BERT's pooler.
    """
    base = model.base_model  # the model itself where transformers has no separate base model, as in T5
    children = model.named_children() if base is not model else ()
    return [*(name for name, child in children if child is not base and has_weights(child)), *new]


def unwrap_model(model: Any) -> Any:
    """The transformers model inside peft's wrapper, or `model` itself if there is none."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def has_weights(module: nn.Module) -> bool:
    """Whether a module has parameters."""
    return next(module.parameters(), None) is not None


def in_modules(parameter: str, modules: Iterable[str]) -> bool:
    """Whether a parameter belongs to one of the modules, by name; prefixes of wrapped models do not matter."""
    return any(f".{name}." in f".{parameter}" for name in modules)


def is_linear(module: nn.Module | None) -> bool:
    """Whether a module is a linear layer, including GPT-2's Conv1D, which stores the transposed matrix."""
    return isinstance(module, nn.Linear | Conv1D)


def linear_shape(linear: Any) -> tuple[int, int]:
    """Input and output features of a linear layer."""
    return (linear.nx, linear.nf) if isinstance(linear, Conv1D) else (linear.in_features, linear.out_features)


def require_layers(model: Any, method: str) -> dict[str, nn.Module]:
    """`find_layers`, which must not be empty. Raises UserError that `method` does not support the architecture."""
    layers = find_layers(model)
    if not layers:
        raise _unsupported(model, method)
    return layers


def find_layers(model: Any) -> dict[str, nn.Module]:
    """The transformer layers by their full names: of the encoder, of the decoder, or of both."""
    base = set(model.base_model.modules())
    stacks: dict[str, nn.ModuleList] = {}
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{stack}.") for stack in stacks)
        if isinstance(module, nn.ModuleList) and module in base and not inside and _has_linears(module):
            stacks[name] = module
    return {f"{name}.{index}": layer for name, stack in stacks.items() for index, layer in enumerate(stack)}


def layers_by_depth(model: Any) -> list[list[nn.Module]]:
    """The transformer layers of each stack (encoder, decoder), the lowest first."""
    stacks: dict[str, list[nn.Module]] = {}
    for name, layer in find_layers(model).items():
        stacks.setdefault(name.rpartition(".")[0], []).append(layer)
    return [*stacks.values()]


def embedding_modules(model: Any) -> list[nn.Module]:
    """What is below the first layer: embeddings, and the modules right around them, such as their norm."""
    layers = {*find_layers(model).values()}
    inside = {part for layer in layers for part in layer.modules()}
    return [
        module
        for module in model.base_model.modules()
        if any(isinstance(part, nn.Embedding) for part in (module, *module.children()))
        and module not in inside
        and layers.isdisjoint(module.modules())
    ]


def linear_layer_names(model: Any, method: str) -> dict[str, str]:
    """All linear layers inside the transformer layers: full name to name inside the layer."""
    return {
        f"{prefix}.{name}": name
        for prefix, layer in require_layers(model, method).items()
        for name, module in layer.named_modules()
        if is_linear(module)
    }


def find_linear_layers(model: Any, names: Iterable[str], method: str) -> dict[str, Any]:
    """The linear layers with these names in every transformer layer. Raises UserError if a layer has none of them."""
    found: dict[str, Any] = {}
    for prefix, layer in require_layers(model, method).items():
        modules = dict(layer.named_modules())
        present = [name for name in names if is_linear(modules.get(name))]
        if not present:
            raise _unsupported(model, method)
        found |= {f"{prefix}.{name}": modules[name] for name in present}
    return found


def is_causal(model: Any) -> bool:
    """Whether any attention of the model is causal, as in a decoder."""
    return any(getattr(module, "is_causal", False) for module in model.base_model.modules())


def _has_linears(module: nn.Module) -> bool:
    return any(is_linear(part) for part in module.modules())


def _unsupported(model: Any, method: str) -> UserError:
    return UserError(
        f"method.type: {method} does not support the architecture of a {model.config.model_type} model: use lora"
    )
