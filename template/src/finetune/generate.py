"""Let a model write: similar lengths together, with its cache of keys and values, padded where its kind needs that."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache, EncoderDecoderCache

from .data.batching import micro_batches
from .data.features import Feature
from .distributed.parallel import is_sharded
from .distributed.world import SINGLE_PROCESS, World
from .model.device import autocast
from .tasks.settings import Generation


@torch.inference_mode()
def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    settings: Generation,
    ends: Sequence[int],
    *,
    budget: int,
    bf16: bool,
    world: World = SINGLE_PROCESS,
) -> list[str]:
    """What the model, in evaluation mode, writes after each prompt, in their order, until one of the tokens `ends`.

    An encoder-decoder reads the prompt with its encoder. Tokens are drawn from random numbers of their own, each batch
    from the same ones wherever it is written: those of the training stay as they were.
    """
    reach = settings.max_new_tokens * settings.beams
    features = [Feature(i, {"input_ids": prompt}, [], target_length=reach) for i, prompt in enumerate(prompts)]
    # Where the model is cut up, ranks that have come to an end go on with those that have not.
    chosen = {**options(settings, ends), "synced_gpus": is_sharded(model)}
    texts: dict[int, str] = {}
    with torch.random.fork_rng():
        batches = enumerate(micro_batches(features, range(len(features)), budget))
        for (number, rows), own in world.shard(world.split([*batches])):
            torch.manual_seed(number)
            written = _batch(model, tokenizer, [prompts[row] for row in rows], chosen, bf16)
            if own:
                texts |= zip(rows, written, strict=True)
    for others in world.gather(texts):
        texts |= others
    return [texts[i] for i in range(len(prompts))]


def options(settings: Generation, ends: Sequence[int]) -> dict[str, Any]:
    """The settings in the words of transformers; what they leave open, the model's own generation config says."""
    drawn = settings.temperature > 0
    return {
        "max_new_tokens": settings.max_new_tokens,
        "num_beams": settings.beams,
        "do_sample": drawn,
        "temperature": settings.temperature if drawn else None,
        "top_p": settings.top_p if drawn else None,
        "top_k": 0 if drawn else None,
        "eos_token_id": list(ends),
        "use_cache": True,
    }


def _batch(model: Any, tokenizer: Any, prompts: list[list[int]], options: dict[str, Any], bf16: bool) -> list[str]:
    decoder = not model.config.is_encoder_decoder
    # A decoder goes on where the prompt ends, so that all prompts of a batch have to end in the same place.
    side = "left" if decoder else "right"
    padded = tokenizer.pad({"input_ids": prompts}, padding_side=side, return_attention_mask=True, return_tensors="pt")
    inputs = {name: tensor.to(model.device) for name, tensor in padded.items()}
    with autocast(bf16, model.device):
        ids = model.generate(**inputs, **options, **_cache(model.config), pad_token_id=tokenizer.pad_token_id)
    ids = ids[:, padded["input_ids"].shape[1] :] if decoder else ids
    return [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]


def _cache(config: Any) -> dict[str, Any]:
    """transformers makes room for the layers of T5's encoder where its decoder may have more: one that grows then."""
    if getattr(config, "num_decoder_layers", 0) <= config.num_hidden_layers:
        return {}
    return {"past_key_values": EncoderDecoderCache(DynamicCache(), DynamicCache())}
