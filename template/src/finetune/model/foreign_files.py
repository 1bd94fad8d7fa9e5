"""Files of a model that name others: a tokenizer its vocabulary, an adapter its base model.

transformers opens what they name, wherever it lies, and a vocabulary is written again by every export. A model is data:
it may name its own files, no others.
"""

import os
from pathlib import Path
from typing import Any

from transformers.models.auto.tokenization_auto import get_tokenizer_config

from ..errors import UserError

ARGUMENTS = ("vocab", "merges", "init_inputs", "gguf_file", "tokenizer_object")
"""Keys of tokenizer_config.json that the library hands to the tokenizer, which takes a text for the path of a file."""
ADAPTER = "adapter_config.json"


def require_own_tokenizer(source: str, revision: str) -> None:
    """Raise UserError if tokenizer_config.json names a file that the tokenizer would be read from."""
    for key, value in get_tokenizer_config(source, revision=revision).items():
        if (key in ARGUMENTS and _names_a_file(value)) or (key.endswith("_file") and _is_there(value)):
            raise UserError(
                f"{source}: {key} in tokenizer_config.json names a file from which the tokenizer would be read: a "
                f"model has its own files only: remove the key if you trust the model"
            )


def refused_adapter(source: str) -> UserError | None:
    """The error for a folder with the config of an adapter, in whose place the library would load its base model."""
    if not Path(source, ADAPTER).is_file():
        return None
    return UserError(
        f"model.name: '{source}' holds an adapter, not a whole model: set continue_from to its run, or name the "
        f"folder that `finetune export` makes of it"
    )


def _names_a_file(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and any(map(_names_a_file, value)))


def _is_there(value: Any) -> bool:
    """Old files hold the paths of the machine on which they were made, which the library passes over."""
    return isinstance(value, str) and os.path.exists(value)
