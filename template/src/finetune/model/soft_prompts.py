"""Prefix and prompt: the shape of what peft puts before a text, and the models that cannot take it."""

import inspect
from typing import Any

from ..config.methods import Prefix, Prompt
from ..errors import UserError
from .layers import reads_one_way


def token_options(method: Prefix | Prompt, model: Any) -> dict[str, Any]:
    """The shape in peft's words, which finds it by itself only where a config has BERT's names.

    Raises UserError if the model does not take such tokens.
    """
    decoder = model.config.get_text_config(decoder=True)
    if isinstance(method, Prompt):
        _require_no_ids(model)
        # In an encoder-decoder the encoder alone reads them: peft would add as many that nothing reads.
        size = {"token_dim": model.config.hidden_size, "num_transformer_submodules": 1}
    else:
        _require_past_keys(model)
        size = {"token_dim": _size_of_keys(decoder)}
    return {
        "num_virtual_tokens": method.tokens,
        "num_layers": getattr(decoder, "num_decoder_layers", None) or decoder.num_hidden_layers,
        "num_attention_heads": decoder.num_attention_heads,
        **size,
    }


def hide_prompt(model: Any) -> None:
    """Let a language model with a prompt before its text look as if it had none.

    peft's `forward` gives logits for the prompt as well, and its `generate` numbers the positions as if no text were
    padded on its left.
    """
    model.register_forward_hook(_logits_of_the_text, with_kwargs=True)
    base = model.get_base_model()
    if "position_ids" in inspect.signature(base.forward).parameters:
        base.register_forward_pre_hook(_positions_by_mask, with_kwargs=True)


def _size_of_keys(config: Any) -> int:
    """Numbers in the keys of a token, which need not be as many as in its embedding; one set for each head.

    Where several heads share a set of keys, peft sees to it.
    """
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(size * config.num_attention_heads)


def _require_past_keys(model: Any) -> None:
    kind = model.config.model_type
    if "past_key_values" not in inspect.signature(model.base_model.forward).parameters:
        raise UserError(
            f"method.type: prefix puts keys before those of the text, which the attention of a {kind} model does not "
            f"take: use lora"
        )
    if model.config.is_encoder_decoder and not model.can_generate():
        raise UserError(
            f"method.type: prefix puts keys before those of a decoder, which a {kind} model with this head keeps to "
            f"itself: use lora"
        )


def _require_no_ids(model: Any) -> None:
    if "SequenceClassification" in type(model).__name__ and reads_one_way(model):
        raise UserError(
            f"method.type: prompt hides the ids of the text, by which the head of a {model.config.model_type} model "
            f"finds the end of it: use lora"
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
