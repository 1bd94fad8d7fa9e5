"""Attention with dropout on a CPU, for which torch has no fused kernel: fewer passes over the scores than torch's own.

It is registered with transformers by name. Whatever it is not made for, as evaluation, which is without dropout, goes
to transformers' own scaled dot-product attention (SDPA).
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from .layers import is_causal, unwrap_model

CPU_ATTENTION = "cpu"
"""Name of the attention implementation in transformers."""


def cpu_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention of (rows, heads, tokens, width), returned as (rows, tokens, heads, width).

    The mask is added and the scores are scaled within their product. Dropout draws what SDPA would draw.
    """
    is_known = attention_mask is None or attention_mask.dtype is torch.bool
    if not (dropout and scaling and is_known and query.shape[1] == key.shape[1]):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
    rows, heads, tokens, width = query.shape
    hidden = query.new_zeros(())
    if attention_mask is not None:
        hidden = torch.zeros_like(attention_mask, dtype=query.dtype)
        hidden = hidden.masked_fill_(~attention_mask, torch.finfo(query.dtype).min)
        hidden = hidden.expand(rows, heads, -1, -1).flatten(0, 1)
    q, k, v = (states.flatten(0, 1) for states in (query, key, value))
    weights = torch.baddbmm(hidden, q, k.mT, alpha=scaling).softmax(-1)
    attended = torch.bmm(F.dropout(weights, dropout), v)
    return attended.view(rows, heads, tokens, width).transpose(1, 2), None


AttentionInterface.register(CPU_ATTENTION, cpu_attention)
AttentionMaskInterface.register(CPU_ATTENTION, sdpa_mask)


def use_cpu_attention(model: Any) -> None:
    """Set the attention implementation of a model on a CPU that has SDPA and no causal attention."""
    body = unwrap_model(model)
    if body.config._attn_implementation == "sdpa" and not is_causal(body):
        body.set_attn_implementation(CPU_ATTENTION)
