"""Pooling: from the hidden states of a text's tokens to one vector."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .objective import at_least_fp32


def pooled(states: Tensor, mask: Tensor, how: str) -> Tensor:
    """(rows, width): vectors of Euclidean norm 1, of hidden states (rows, tokens, width) and their attention mask.

    `how`: the mean over the tokens, the first token (cls), or the last one.
    """
    states = at_least_fp32(states)
    if how == "cls":
        vectors = states[:, 0]
    elif how == "last":
        vectors = states[torch.arange(len(states), device=states.device), mask.sum(1) - 1]
    else:
        kept = mask.to(states)[:, :, None]
        vectors = (states * kept).sum(1) / kept.sum(1)
    return F.normalize(vectors, dim=-1)
