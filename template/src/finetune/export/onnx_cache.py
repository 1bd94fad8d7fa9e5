"""ONNX graphs of models that generate: each call reads new tokens and the key-value cache of those before them.

A decoder is one graph. An encoder-decoder is two: the encoder, which ends with the keys and values that the decoder's
cross-attention reads, and the decoder. Inputs and outputs are named as optimum names them.
"""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from ..hub_client import first_line
from ..model.onnx_model import ENCODER_FILE, FILE, PAST, PRESENT
from .onnx import CHECKED, TRACED, NotConvertedError, convert, load_exported, require_equal, run, texts

NEW = 3
"""New tokens of the traced call; above 1, as all traced sizes."""
STEPS = 3
"""Tokens that are read one by one when the export is verified."""


def write_decoder(folder: Path, model: Any, tokenizer: Any) -> None:
    """Write the decoder as `model.onnx`: logits of the new tokens, and the cache of all.

    Positions are counted by the attention mask, which covers the cache as well. Raises NotConvertedError if the model
    has no cache of keys and values, the conversion fails, or the logits differ.
    """
    inputs = _texts(model, tokenizer, TRACED)
    past = _flat(_cached(model, past_key_values=DynamicCache(), **inputs))
    names = _names(past)
    mask = torch.cat([inputs["attention_mask"], torch.ones(len(TRACED), NEW, dtype=torch.long)], 1)
    inputs = {"input_ids": inputs["input_ids"][:, :NEW], "attention_mask": mask, **dict(zip(names, past, strict=True))}
    lengths = {**dict.fromkeys(names, "past"), "input_ids": "length", "attention_mask": "past_and_length"}
    convert(folder / FILE, model, _step, inputs, lengths, ["logits", *_presents(names)])
    _verify(folder, model, [_texts(model, tokenizer, lengths, "left") for lengths in CHECKED])


def write_encoder_decoder(folder: Path, model: Any, tokenizer: Any) -> None:
    """Write `encoder.onnx`, and the decoder as `model.onnx`: logits of the new tokens, and the cache of all.

    Raises NotConvertedError if the conversion fails, or the logits differ.
    """
    source = _texts(model, tokenizer, TRACED)
    target = source["input_ids"][:, :NEW]
    caches = _cached(model, past_key_values=_empty(), decoder_input_ids=target, **source)
    past, cross = _flat(caches.self_attention_cache), _flat(caches.cross_attention_cache)
    names, cross_names = _names(past, ".decoder"), _names(cross, ".encoder")
    convert(folder / ENCODER_FILE, model, _encode, source, dict.fromkeys(source, "source"), cross_names)
    inputs = {"input_ids": target, "encoder_attention_mask": source["attention_mask"]}
    inputs |= {**dict(zip(cross_names, cross, strict=True)), **dict(zip(names, past, strict=True))}
    lengths = {**dict.fromkeys(inputs, "source"), **dict.fromkeys(names, "past"), "input_ids": "length"}
    convert(folder / FILE, model, _decode, inputs, lengths, ["logits", *_presents(names)])
    _verify(folder, model, [_texts(model, tokenizer, lengths) for lengths in CHECKED])


def _step(model: Any, inputs: dict[str, Tensor]) -> Sequence[Tensor]:
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    cache = _cache([value for name, value in inputs.items() if name.startswith(PAST)])
    output = model(
        input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, **_positions(model, ids, mask)
    )
    return [output.logits, *_flat(output.past_key_values)]


def _positions(model: Any, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Positions of the new tokens, as `generate` counts them; not all models take them."""
    if "position_ids" not in inspect.signature(model.forward).parameters:
        return {}
    return {"position_ids": (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]}


def _encode(model: Any, inputs: dict[str, Tensor]) -> Sequence[Tensor]:
    """Keys and values of the cross-attention. What else the decoder computes here, the converter removes as unused."""
    output = model(**inputs, decoder_input_ids=inputs["input_ids"][:, :1], past_key_values=_empty(), use_cache=True)
    return _flat(output.past_key_values.cross_attention_cache)


def _decode(model: Any, inputs: dict[str, Tensor]) -> Sequence[Tensor]:
    mask = inputs["encoder_attention_mask"]
    past = [value for name, value in inputs.items() if ".decoder." in name]
    cross = [value for name, value in inputs.items() if ".encoder." in name]
    unread = cross[0].new_zeros(1).expand(*mask.shape, model.config.hidden_size)  # the cache stands in for it
    output = model(
        decoder_input_ids=inputs["input_ids"],
        attention_mask=mask,
        encoder_outputs=BaseModelOutput(last_hidden_state=unread),
        past_key_values=EncoderDecoderCache(_cache(past), _cache(cross)),
        use_cache=True,
    )
    return [output.logits, *_flat(output.past_key_values.self_attention_cache)]


def _cached(model: Any, **inputs: Any) -> Any:
    """The cache after the inputs. Raises NotConvertedError if the model has none of keys and values."""
    try:
        cache = model.eval()(**inputs, use_cache=True).past_key_values
        _flat(getattr(cache, "self_attention_cache", cache))
        return cache
    except Exception as error:  # of any kind, for an architecture may have any code
        raise NotConvertedError(
            f"this {model.config.model_type} model has no cache of keys and values ({first_line(error)})"
        ) from error


def _empty() -> EncoderDecoderCache:
    return EncoderDecoderCache(DynamicCache(), DynamicCache())


def _cache(tensors: Sequence[Tensor]) -> DynamicCache:
    return DynamicCache([*zip(tensors[::2], tensors[1::2], strict=True)])


def _flat(cache: Any) -> list[Tensor]:
    """Keys and values of each layer: (rows, heads, tokens, size of a head)."""
    return [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]


def _names(tensors: Sequence[Tensor], part: str = "") -> list[str]:
    return [f"{PAST}.{number // 2}{part}.{('key', 'value')[number % 2]}" for number in range(len(tensors))]


def _presents(names: Sequence[str]) -> list[str]:
    return [name.replace(PAST, PRESENT) for name in names]


def _texts(model: Any, tokenizer: Any, lengths: Sequence[int], side: str = "right") -> dict[str, Tensor]:
    inputs = texts(model, tokenizer, lengths, side)
    return {name: inputs[name] for name in ("input_ids", "attention_mask")}


def _verify(folder: Path, model: Any, batches: Sequence[dict[str, Tensor]]) -> None:
    """Compare the logits after a start of several tokens, and after each of some single ones."""
    exported, two = load_exported(folder, model.config), model.config.is_encoder_decoder
    grows = "decoder_input_ids" if two else "input_ids"
    for inputs in batches:
        first = inputs["input_ids"][:, :1]  # of each text, none of padding
        whole = {**inputs, grows: torch.cat([first, first], 1)} if two else inputs
        past, new = None, whole[grows]
        for _ in range(1 + STEPS):
            found = run(exported, past=past, **{**whole, grows: new})
            positions = {} if two else _positions(model, whole[grows], whole["attention_mask"])
            with torch.no_grad():
                expected = model(**whole, **positions, use_cache=False).logits[:, -1]
            require_equal(found.logits[:, -1], expected)
            past, new = found.past, whole[grows][:, :1]
            whole[grows] = torch.cat([whole[grows], new], 1)
            if not two:
                whole["attention_mask"] = torch.cat([whole["attention_mask"], torch.ones_like(new)], 1)
