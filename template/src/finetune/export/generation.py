"""Generation settings: how an exported model decodes in other programs, which is how it decodes here."""

from typing import Any

from ..generate import options
from ..run.saved_model import SavedModel

MARK = "TEXT"


def set_generation(saved: SavedModel, model: Any) -> None:
    """Let the generation config of the model hold the settings of the task and the tokens that end a text."""
    assert saved.task.generation
    settings = options(saved.task.generation, saved.task.stop_tokens)
    config = model.generation_config
    config._from_model_config = False  # or transformers would make it anew
    for name, value in {**settings, "pad_token_id": saved.tokenizer.pad_token_id}.items():
        setattr(config, name, value)


def prompt_around(saved: SavedModel) -> tuple[str, str] | None:
    """What a decoder reads before and after the text of a prompt; None where its chat template changes the text."""
    if saved.task.settings.type != "chat":
        return "", saved.task.state()["separator"]
    asked = [{"role": "user", "content": MARK}]
    rendered = saved.tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    before, found, after = rendered.partition(MARK)
    return (before, after) if found and MARK not in after else None
