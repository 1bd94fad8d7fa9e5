"""NEFTune (Jain et al. 2023): uniform noise on the embeddings of the input tokens, in training only."""

from typing import Any

import torch
from torch import Tensor

from ..tasks.objective import at_least_fp32
from .layers import unwrap_model


def add_embedding_noise(model: Any, alpha: float | None) -> None:
    """Let a decoder add noise of U(-1, 1) * alpha / sqrt(tokens * width) to each embedded token; None adds nothing.

    `tokens` is the length of each text without its padding, so that the noise does not depend on the rest of the batch.
    """
    if alpha is None:
        return
    masks: list[Tensor | None] = [None]

    def keep_mask(_: Any, __: Any, options: dict[str, Any]) -> None:
        masks[0] = options.get("attention_mask")

    def add(module: Any, _: Any, embedded: Tensor) -> Tensor:
        if not module.training:
            return embedded
        rows, length, width = embedded.shape
        mask = masks[0]
        tokens = embedded.new_full((rows,), length) if mask is None else mask.sum(1)
        embedded = at_least_fp32(embedded)
        scale = alpha / (tokens.to(embedded.dtype) * width).sqrt()
        return embedded + (2 * torch.rand_like(embedded) - 1) * scale[:, None, None]

    model.register_forward_pre_hook(keep_mask, with_kwargs=True)
    unwrap_model(model).get_input_embeddings().register_forward_hook(add)
