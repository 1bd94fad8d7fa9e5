"""Attention implementation for packing: several sequences in one row, with attention inside each of them only.

It is registered with transformers by name, and receives the boundaries of the sequences. Batches that are not packed,
such as those of validation, use transformers' own scaled dot-product attention (SDPA).
"""

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from ..errors import UserError
from ..tasks.objective import at_least_fp32

PACKED_ATTENTION = "packed"
"""Name of the attention implementation in transformers."""
SHORT = 128
"""Tokens up to which attention in fp32 takes clearly less time than in bf16 on a CPU."""


ARCHITECTURES = (
    *("albert", "bert", "camembert", "distilbert", "electra", "modernbert", "roberta", "xlm-roberta"),
    *("gpt2", "llama", "mistral", "qwen2", "qwen3"),
)
"""Model types for which tests/proofs/test_packing.py proves that packing changes no result."""


def packed_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int = 0,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention of (1, heads, tokens, width), returned as (1, tokens, heads, width).

    `cu_seq_lens_q` are the cumulative sequence lengths. Packed rows have no attention dropout on any device, because
    the GPU kernel has none.
    """
    if cu_seq_lens_q is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, is_causal=is_causal, **others
        )
    causal = module.is_causal if is_causal is None else is_causal
    back = sliding_window - 1 if sliding_window else -1
    window = (back, 0 if causal else back)
    if has_kernel(query):
        return varlen_attention(query, key, value, cu_seq_lens_q, max_length_q, window, scaling), None
    return attention_per_text(query, key, value, cu_seq_lens_q, window, scaling), None


def has_kernel(query: Tensor) -> bool:
    """Whether torch has a variable-length attention kernel for this device and dtype."""
    return query.is_cuda and query.dtype in (torch.bfloat16, torch.float16)


def varlen_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bounds: Tensor,
    longest: int,
    window: tuple[int, int],
    scale: float | None,
) -> Tensor:
    """All sequences in one call of torch's variable-length kernel, which needs a GPU and half precision."""
    from torch.nn.attention.varlen import varlen_attn

    q, k, v = (states[0].transpose(0, 1) for states in (query, key, value))
    k, v = (states.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for states in (k, v))  # grouped-query attention
    result = varlen_attn(q, k, v, bounds, bounds, longest, longest, scale=scale, window_size=window)
    assert isinstance(result, Tensor), "only without return_aux"
    return result[None]


def attention_per_text(
    query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, window: tuple[int, int], scale: float | None
) -> Tensor:
    """One SDPA call for each sequence: for any device and dtype.

    The backward pass of torch's kernel for CPUs is slow in half precision where sequences are short: there it computes
    in fp32.
    """
    lengths, dtype = bounds.diff().tolist(), value.dtype
    short = query.device.type == "cpu" and query.requires_grad and max(lengths) <= SHORT
    if short:
        query, key, value = (at_least_fp32(states) for states in (query, key, value))
    sequences = zip(*(states.split(lengths, dim=2) for states in (query, key, value)), strict=True)
    grouped = query.shape[1] != key.shape[1]
    with torch.autocast("cpu", enabled=False) if short else nullcontext():  # which would cast back
        attended = [
            F.scaled_dot_product_attention(q, k, v, _window_mask(q, window), scale=scale, enable_gqa=grouped)
            for q, k, v in sequences
        ]
    return torch.cat(attended, dim=2).transpose(1, 2).to(dtype)


def _window_mask(query: Tensor, window: tuple[int, int]) -> Tensor | None:
    """Mask of a sliding window, (tokens, tokens): its reach backward and forward; -1 is unlimited."""
    if window == (-1, -1):
        return None
    place = torch.arange(query.shape[2], device=query.device)
    ahead = place - place[:, None]
    back, forth = (reach if reach >= 0 else len(place) for reach in window)
    return (ahead >= -back) & (ahead <= forth)


def packed_mask(*, attention_mask: Tensor | None = None, **options: Any) -> Tensor | None:
    """No mask for a packed row, the only kind of batch without an attention mask; otherwise SDPA's mask."""
    if attention_mask is None:
        return None
    mask: Tensor | None = sdpa_mask(attention_mask=attention_mask, **options)
    return mask


AttentionInterface.register(PACKED_ATTENTION, packed_attention)
AttentionMaskInterface.register(PACKED_ATTENTION, packed_mask)


def use_packed_attention(model: Any) -> int:
    """Set the attention implementation of `model`; returns the position id of the first token of a sequence.

    Raises UserError for an architecture without a proof that packing changes no result.
    """
    kind = model.config.model_type
    if kind not in ARCHITECTURES:
        raise UserError(
            f"train.packing: packing is not supported for a {kind} model: set it to false, or choose one of "
            f"{', '.join(ARCHITECTURES)}"
        )
    model.set_attn_implementation(PACKED_ATTENTION)
    tables = [module for name, module in model.named_modules() if name.endswith("position_embeddings")]
    padding = next((table.padding_idx for table in tables if isinstance(table, torch.nn.Embedding)), None)
    return 0 if padding is None else padding + 1  # RoBERTa's position ids start after its padding index
