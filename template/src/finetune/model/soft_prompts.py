"""Prefix tuning and prompt tuning: the shape of the virtual tokens, and the models that do not support them."""

import inspect
from typing import Any

from ..config.methods import Prefix, Prompt
from ..errors import UserError
from .layers import is_causal


def virtual_token_options(method: Prefix | Prompt, model: Any) -> dict[str, Any]:
    """The shape of the virtual tokens as options of peft's config; peft infers it only for some architectures.

    Raises UserError if the model does not support virtual tokens.
    """
    decoder = model.config.get_text_config(decoder=True)
    if isinstance(method, Prompt):
        _require_head_without_ids(model)
        # An encoder-decoder has virtual tokens in its encoder only; peft would add unused ones for the decoder.
        size = {"token_dim": model.config.hidden_size, "num_transformer_submodules": 1}
    else:
        _require_past_keys(model)
        size = {"token_dim": _key_size(decoder)}
    return {
        "num_virtual_tokens": method.tokens,
        "num_layers": getattr(decoder, "num_decoder_layers", None) or decoder.num_hidden_layers,
        "num_attention_heads": decoder.num_attention_heads,
        **size,
    }


def hide_prompt(model: Any) -> None:
    """Correct a causal language model with prompt tuning by hooks: logits of the text only, positions by the mask.

    peft's `forward` returns logits for the virtual tokens too, and its `generate` ignores left padding in position ids.
    """
    model.register_forward_hook(_logits_of_the_text, with_kwargs=True)
    base = model.get_base_model()
    if "position_ids" in inspect.signature(base.forward).parameters:
        base.register_forward_pre_hook(_positions_by_mask, with_kwargs=True)


def _key_size(config: Any) -> int:
    """Size of the keys of a token over all attention heads, which may differ from the hidden size.

    peft reduces it for grouped-query attention.
    """
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(size * config.num_attention_heads)


def _require_past_keys(model: Any) -> None:
    kind = model.config.model_type
    if "past_key_values" not in inspect.signature(model.base_model.forward).parameters:
        raise UserError(
            f"method.type: prefix needs past keys and values, which the attention of a {kind} model does not accept: "
            f"use lora"
        )
    if model.config.is_encoder_decoder and not model.can_generate():
        raise UserError(
            f"method.type: prefix needs past keys and values of the decoder, which a {kind} model with this head does "
            f"not accept: use lora"
        )


def _require_head_without_ids(model: Any) -> None:
    if "SequenceClassification" in type(model).__name__ and is_causal(model):
        raise UserError(
            f"method.type: prompt replaces input ids by embeddings, but the head of a {model.config.model_type} model "
            f"finds the last token by its id: use lora"
        )


def _logits_of_the_text(_: Any, __: Any, inputs: dict[str, Any], output: Any) -> Any:
    output.logits = output.logits[:, -inputs["input_ids"].shape[1] :]
    return output


def _positions_by_mask(_: Any, arguments: Any, inputs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    mask = inputs.get("attention_mask")
    if mask is not None and inputs.get("position_ids") is None:
        given = inputs["input_ids"] if inputs.get("input_ids") is not None else inputs["inputs_embeds"]
        inputs["position_ids"] = mask.long().cumsum(-1)[:, -given.shape[1] :] - 1
    return arguments, inputs
