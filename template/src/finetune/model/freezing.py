"""Parts of the body that stay as they are in full fine-tuning: the token embeddings, the lowest layers."""

from typing import Any

from torch.nn import Embedding

from ..config.config import Config
from ..config.methods import Full
from ..errors import UserError
from .layers import embedding_modules, layers_by_depth, unwrap_model


def freeze_parts(config: Config, model: Any) -> None:
    """`optim.embeddings` and `optim.frozen_layers`, in place; methods other than full have frozen the body already.

    Raises UserError if another layer shares the token embeddings, such as a tied output layer, or there are not as many
    layers.
    """
    if not isinstance(config.method, Full):
        return
    optim, model = config.optim, unwrap_model(model)
    if optim.embeddings == "frozen" or optim.frozen_layers:
        _freeze_embeddings(config, model)
    if not optim.frozen_layers:
        return
    for module in embedding_modules(model):  # positions, token types and the norm, below the first layer
        module.requires_grad_(False)
    stacks = layers_by_depth(model)
    if optim.frozen_layers > (most := min(map(len, stacks), default=0)):
        raise UserError(
            f"optim.frozen_layers is {optim.frozen_layers}, but '{config.model.name}' has {most} layers: choose fewer"
        )
    for layers in stacks:
        for layer in layers[: optim.frozen_layers]:
            layer.requires_grad_(False)


def _freeze_embeddings(config: Config, model: Any) -> None:
    table = model.get_input_embeddings().weight
    if any(
        getattr(module, "weight", None) is table and not isinstance(module, Embedding) for module in model.modules()
    ):
        key, remedy = ("embeddings is frozen", "set it to trained")
        if config.optim.frozen_layers:
            key, remedy = f"frozen_layers is {config.optim.frozen_layers}", "set it to 0"
        raise UserError(
            f"optim.{key}, but the output layer of '{config.model.name}' has the same matrix (tied weights), and would "
            f"be frozen as well: {remedy}"
        )
    table.requires_grad_(False)
