"""Text generation: prompts of similar length in a batch, with a key-value cache."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache, StoppingCriteria

from .data.batching import micro_batches
from .data.features import Feature
from .distributed.parallel import is_sharded
from .distributed.world import SINGLE_PROCESS, World
from .model.device import Precision, autocast, random_devices
from .tasks.settings import Generation

Watch = Callable[[int, list[int]], bool]
"""Called after each new token with the number of a prompt and the tokens that follow it; True ends this text."""


@torch.inference_mode()
def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    settings: Generation,
    stop_tokens: Sequence[int],
    *,
    budget: int,
    precision: Precision,
    seed: int = 0,
    world: World = SINGLE_PROCESS,
    watch: Watch | None = None,
) -> list[str]:
    """The generated text for each prompt, in order, up to one of the stop tokens; `model` is in evaluation mode.

    An encoder-decoder reads the prompt with its encoder. Sampling seeds each batch by `seed` and its number, so that
    results do not depend on the ranks; the random state of the training is left as it was. With beam search, whose
    texts are known only at its end, `watch` is not called.
    """
    longest = settings.max_new_tokens * settings.beams
    features = [Feature(i, {"input_ids": prompt}, [], target_length=longest) for i, prompt in enumerate(prompts)]
    # With a sharded model, ranks that have finished continue with those that have not.
    arguments = {**options(settings, stop_tokens), "synced_gpus": is_sharded(model)}
    texts: dict[int, str] = {}
    with torch.random.fork_rng(random_devices(model.device)):
        batches = enumerate(micro_batches(features, range(len(features)), budget))
        for (number, rows), counts in world.shard(world.split([*batches])):
            torch.manual_seed(seed + number)
            if watch and settings.beams == 1:
                start = 1 if model.config.is_encoder_decoder else max(len(prompts[row]) for row in rows)
                arguments["stopping_criteria"] = [_Watched(watch, rows, start)]
            generated = _batch(model, tokenizer, [prompts[row] for row in rows], arguments, precision)
            if counts:
                texts |= zip(rows, generated, strict=True)
    for others in world.gather(texts):
        texts |= others
    return [texts[i] for i in range(len(prompts))]


def options(settings: Generation, stop_tokens: Sequence[int]) -> dict[str, Any]:
    """The settings as arguments of transformers; all else comes from the model's own generation config."""
    sampling = settings.temperature > 0
    return {
        "max_new_tokens": settings.max_new_tokens,
        "num_beams": settings.beams,
        "do_sample": sampling,
        "temperature": settings.temperature if sampling else None,
        "top_p": settings.top_p if sampling else None,
        "top_k": 0 if sampling else None,
        "eos_token_id": list(stop_tokens),
        "use_cache": True,
    }


def _batch(
    model: Any, tokenizer: Any, prompts: list[list[int]], options: dict[str, Any], precision: Precision
) -> list[str]:
    decoder = not model.config.is_encoder_decoder
    # A decoder continues where the prompt ends, so all prompts of a batch must end at the same position.
    side = "left" if decoder else "right"
    padded = tokenizer.pad({"input_ids": prompts}, padding_side=side, return_attention_mask=True, return_tensors="pt")
    inputs = {name: tensor.to(model.device) for name, tensor in padded.items()}
    with autocast(precision, model.device):
        ids = model.generate(**inputs, **options, **_cache(model.config), pad_token_id=tokenizer.pad_token_id)
    ids = ids[:, padded["input_ids"].shape[1] :] if decoder else ids
    return [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]


def _cache(config: Any) -> dict[str, Any]:
    """A growing cache for T5 with a deeper decoder: transformers allocates as many layers as the encoder has."""
    if getattr(config, "num_decoder_layers", 0) <= getattr(config, "num_hidden_layers", 0):
        return {}
    return {"past_key_values": EncoderDecoderCache(DynamicCache(), DynamicCache())}


class _Watched(StoppingCriteria):
    """Shows the tokens of each row of a batch, from the column `start` on."""

    def __init__(self, watch: Watch, rows: Sequence[int], start: int) -> None:
        self.watch, self.rows, self.start = watch, rows, start

    def __call__(self, input_ids: Tensor, scores: Any, **options: Any) -> Tensor:
        tokens = input_ids[:, self.start :].tolist()
        ended = [self.watch(row, generated) for row, generated in zip(self.rows, tokens, strict=True)]
        return torch.tensor(ended, device=input_ids.device)
