"""Groups of parameters that share a learning rate and a weight decay."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from ..config.config import Optim
from ..model.layers import embedding_modules, in_modules, layers_by_depth, unwrap_model


def parameter_groups(config: Optim, model: nn.Module, head: Sequence[str]) -> list[dict[str, Any]]:
    """Weight decay for matrices; not for biases, norm scales and those of IA3. `head` names modules with `head_lr`."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    depths = _depths(model) if config.layer_decay < 1 else {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            # What does not decay has one dimension, except the scales of IA3, which decay would pull from 1 to 0, and
            # T5's relative position bias.
            decays = parameter.ndim >= 2 and "ia3_l" not in name and "bias" not in name
            decay = config.weight_decay if decays else 0.0
            rate = config.head_lr if config.head_lr and in_modules(name, head) else config.lr
            rate *= config.layer_decay ** depths.get(id(parameter), 0)
            if config.lora_plus and ("lora_B" in name or "lora_embedding_B" in name):
                rate *= config.lora_plus
            groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": group, "lr": rate, "weight_decay": decay} for (rate, decay), group in groups.items()]


def _depths(model: nn.Module) -> dict[int, int]:
    """How far each parameter is below the top, by id: 1 for the top layer, most for the embeddings; 0 is left out.

    The numbering of BEiT (Bao et al. 2021). Encoder and decoder are counted each from its own top.
    """
    base = unwrap_model(model)
    stacks = layers_by_depth(base)
    lowest = max(map(len, stacks), default=0) + 1
    parts = [(module, lowest) for module in embedding_modules(base)]
    parts += [(layer, depth) for layers in stacks for depth, layer in enumerate(reversed(layers), start=1)]
    return {id(parameter): depth for module, depth in parts for parameter in module.parameters()}
