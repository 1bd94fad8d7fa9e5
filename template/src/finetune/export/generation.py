"""Generation settings: how an exported model decodes in other programs, which is how it decodes here."""

from typing import Any

from ..generate import options
from ..run.saved_model import SavedModel
from ..tasks.chat_template import apply_template

MARK = "TEXT"
UNKNOWN = (
    *("repetition_penalty", "encoder_repetition_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size"),
    *("min_length", "min_new_tokens"),
)
"""Settings of a base model's own generation config that the script beside an ONNX model does not know."""


def set_generation(saved: SavedModel, model: Any) -> None:
    """Let the generation config of the model hold the settings of the task and the tokens that end a text."""
    assert saved.task.generation
    settings = options(saved.task.generation, saved.task.stop_tokens)
    config = model.generation_config
    config._from_model_config = False  # or transformers would make it anew
    for name, value in {**settings, "pad_token_id": saved.tokenizer.pad_token_id}.items():
        setattr(config, name, value)


def decoding(saved: SavedModel, model: Any) -> dict[str, Any]:
    """What the script beside an ONNX model needs to know to decode greedily.

    `prompt`: what a decoder reads before and after a text; `start`: the token that an encoder-decoder starts from, and
    the one that its text has to begin with;
    `never`: tokens that are not generated; `max_new_tokens`: the longest text.
    """
    assert saved.task.generation
    config = model.generation_config
    longest = saved.task.generation.max_new_tokens
    never = [*(config.suppress_tokens or []), *(ids[0] for ids in config.bad_words_ids or [] if len(ids) == 1)]
    known = {"never": never, "max_new_tokens": longest}
    if not model.config.is_encoder_decoder:
        return {"prompt": _prompt_around(saved), **known}
    start = config.bos_token_id if config.decoder_start_token_id is None else config.decoder_start_token_id
    forced = [] if config.forced_bos_token_id is None else [config.forced_bos_token_id]
    if config.forced_eos_token_id is not None:  # it takes the place of the last token
        longest -= 1
    return {"start": [start, *forced], **known, "max_new_tokens": longest}


def ignored_settings(saved: SavedModel, model: Any) -> list[str]:
    """Settings that change which text is generated, and that greedy decoding does not know."""
    assert saved.task.generation
    ours = options(saved.task.generation, saved.task.stop_tokens)
    found = {name: getattr(model.generation_config, name, None) for name in UNKNOWN}
    found |= {name: ours[name] for name in ("num_beams", "do_sample")}
    return [f"{name} {value}" for name, value in found.items() if value not in (None, False, 0, 1, 1.0)]


def _prompt_around(saved: SavedModel) -> tuple[str, str] | None:
    """What a decoder reads before and after the text of a prompt; None where its chat template changes the text."""
    if saved.task.settings.type != "chat":
        return "", saved.task.state()["separator"]
    asked = [{"role": "user", "content": MARK}]
    rendered = apply_template(saved.tokenizer, asked, tokenize=False, add_generation_prompt=True)
    before, found, after = rendered.partition(MARK)
    return (before, after) if found and MARK not in after else None
