"""The last layer of an encoder whose head reads the first token: its output is computed for that token alone.

Keys and values come from all tokens. Queries, the output of attention and the feed-forward network of the other tokens
would reach no logits and no gradient: in a model of six layers they are 14 % of the matrix products.
"""

from typing import Any

from torch import Tensor
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from .cpu_attention import CPU_ATTENTION
from .layers import find_layers, unwrap_model


def compute_first_token_only(model: Any) -> None:
    """Change the class of the last layer, in place, if nothing but the head of a text reads its output.

    The hidden states of the model are then (rows, 1, width). Other architectures and heads stay as they are.
    tests/proofs/test_first_token.py proves that logits and gradients are equal.
    """
    body = unwrap_model(model)
    config = body.config
    form = FORMS.get(config.model_type)
    is_ours = "ForSequenceClassification" in type(body).__name__ and type(body).__module__.startswith("transformers.")
    wants_all = config.output_hidden_states or config.output_attentions or getattr(config, "is_decoder", False)
    if form is None or not is_ours or wants_all:
        return
    last = [*find_layers(body).values()][-1]
    if not isinstance(last, form):
        last.__class__ = type(f"FirstToken{type(last).__name__}", (form, type(last)), {})


def _first(hidden_states: Tensor) -> Tensor:
    """(rows, 1, width); contiguous, because torch multiplies other inputs in different ways for frozen weights."""
    return hidden_states[:, :1].contiguous()


def _attend(
    attention: Any, query: Any, key: Any, value: Any, first: Tensor, hidden_states: Tensor, mask: Tensor | None
) -> Tensor:
    """Attention from the first token to all: (rows, 1, width). `query`, `key` and `value` are its linear layers."""

    def heads(states: Tensor) -> Tensor:
        return states.view(*states.shape[:2], -1, attention.attention_head_size).transpose(1, 2)

    found, _ = sdpa_attention_forward(
        attention,
        heads(query(first)),
        heads(key(hidden_states)),
        heads(value(hidden_states)),
        mask if mask is None else mask[:, :, :1],
        dropout=attention.dropout.p if attention.training else 0.0,
        scaling=attention.scaling,
    )
    states: Tensor = found.flatten(2)
    return states


def _is_plain(attention: Any, options: dict[str, Any]) -> bool:
    """Whether attention is SDPA, without the keys and values of a prefix."""
    is_sdpa = attention.config._attn_implementation in ("sdpa", CPU_ATTENTION)
    return is_sdpa and options.get("past_key_values") is None


class _OfBert:
    """The layer of BERT and its kin."""

    def forward(
        self: Any, hidden_states: Tensor, attention_mask: Tensor | None = None, *others: Any, **options: Any
    ) -> Any:
        attention = self.attention.self
        if not _is_plain(attention, options):
            return super().forward(hidden_states, attention_mask, *others, **options)  # type: ignore[misc]
        linears, first = (attention.query, attention.key, attention.value), _first(hidden_states)
        context = _attend(attention, *linears, first, hidden_states, attention_mask)
        return self.feed_forward_chunk(self.attention.output(context, first))


class _OfDistilBert:
    """The layer of DistilBERT."""

    def forward(self: Any, hidden_states: Tensor, attention_mask: Tensor | None = None, **options: Any) -> Any:
        attention = self.attention
        if not _is_plain(attention, options):
            return super().forward(hidden_states, attention_mask, **options)  # type: ignore[misc]
        linears, first = (attention.q_lin, attention.k_lin, attention.v_lin), _first(hidden_states)
        context = _attend(attention, *linears, first, hidden_states, attention_mask)
        states = self.sa_layer_norm(attention.out_lin(context) + first)
        return self.output_layer_norm(self.ffn(states) + states)


FORMS: dict[str, type] = {
    **dict.fromkeys(["bert", "camembert", "electra", "roberta", "xlm-roberta"], _OfBert),
    "distilbert": _OfDistilBert,
}
"""Model types whose head reads the first token, by a pooler or by itself, and the form of their layer."""
