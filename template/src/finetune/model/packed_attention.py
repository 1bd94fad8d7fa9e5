"""Attention for packed rows: several texts behind each other in one row, attention within each of them only.

transformers looks attention up by name: ours is told where the texts of a row begin. Rows that are not packed, such as
those of a validation, go through it as through transformers' own scaled dot-product attention.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from ..errors import UserError

PACKED_ATTENTION = "packed"
"""Of our attention, among those of transformers."""


ARCHITECTURES = (
    *("albert", "bert", "camembert", "distilbert", "electra", "modernbert", "roberta", "xlm-roberta"),
    *("gpt2", "llama", "mistral", "qwen2", "qwen3"),
)
"""Those that are proved to compute in a packed row what they compute alone (tests/test_packing.py)."""


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
    """(1, heads, tokens, width) to (1, tokens, heads, width); `cu_seq_lens_q` are the bounds of the texts.

    In a packed row attention has no dropout, for the kernel of the GPU has none: so it is the same everywhere.
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
    """Whether torch has a kernel for texts of any lengths here."""
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
    """All texts in one call of torch's kernel, which runs on a GPU in half precision."""
    from torch.nn.attention.varlen import varlen_attn

    q, k, v = (states[0].transpose(0, 1) for states in (query, key, value))
    k, v = (states.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for states in (k, v))  # where heads share them
    result = varlen_attn(q, k, v, bounds, bounds, longest, longest, scale=scale, window_size=window)
    assert isinstance(result, Tensor), "only without return_aux"
    return result[None]


def attention_per_text(
    query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, window: tuple[int, int], scale: float | None
) -> Tensor:
    """One call a text: for any device and precision."""
    lengths = bounds.diff().tolist()
    texts = zip(*(states.split(lengths, dim=2) for states in (query, key, value)), strict=True)
    shared = query.shape[1] != key.shape[1]
    attended = [
        F.scaled_dot_product_attention(q, k, v, _within(q, window), scale=scale, enable_gqa=shared) for q, k, v in texts
    ]
    return torch.cat(attended, dim=2).transpose(1, 2)


def _within(query: Tensor, window: tuple[int, int]) -> Tensor | None:
    """Who may look at whom in a text: as far as the window reaches to either side, where -1 is without end."""
    if window == (-1, -1):
        return None
    place = torch.arange(query.shape[2], device=query.device)
    ahead = place - place[:, None]
    back, forth = (reach if reach >= 0 else len(place) for reach in window)
    return (ahead >= -back) & (ahead <= forth)


def packed_mask(*, attention_mask: Tensor | None = None, **options: Any) -> Tensor | None:
    """No mask for a packed row, which is the only one to come without one of its own; otherwise the usual mask."""
    if attention_mask is None:
        return None
    mask: Tensor | None = sdpa_mask(attention_mask=attention_mask, **options)
    return mask


AttentionInterface.register(PACKED_ATTENTION, packed_attention)
AttentionMaskInterface.register(PACKED_ATTENTION, packed_mask)


def use_packed_attention(model: Any) -> int:
    """Let `model` read packed rows too; returns the position that it gives to the first token of a text.

    Raises UserError if the architecture is not known to compute in a packed row what it computes alone.
    """
    kind = model.config.model_type
    if kind not in ARCHITECTURES:
        raise UserError(
            f"train.packing: a {kind} model is not known to keep packed texts apart: set it to false, or choose "
            f"one of {', '.join(ARCHITECTURES)}"
        )
    model.set_attn_implementation(PACKED_ATTENTION)
    tables = [module for name, module in model.named_modules() if name.endswith("position_embeddings")]
    padding = next((table.padding_idx for table in tables if isinstance(table, torch.nn.Embedding)), None)
    return 0 if padding is None else padding + 1  # RoBERTa counts from behind its padding index
