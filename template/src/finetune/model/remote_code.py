"""Remote code: Python modules that come with a model, which its files name under `auto_map`.

It runs only where the config or a flag of the running command allows it. A model folder, a run and its `best/` are
data: they can demand the allowance, never give it.
"""

from collections.abc import Iterator
from typing import Any

from transformers import PreTrainedConfig
from transformers.models.auto.tokenization_auto import get_tokenizer_config

from ..errors import UserError


def require_pinned_code(source: str, revision: str) -> None:
    """Raise UserError if a model takes its code from another repository, whose commit nothing pins."""
    for reference in _references(source, revision):
        repository, dashes, _ = reference.partition("--")
        if dashes and repository != source:
            raise UserError(
                f"model.trust_remote_code: the code of '{source}' lies in another repository, '{repository}', which "
                f"model.revision does not pin: copy model and code into a folder, and name it as ./folder"
            )


def refused_code(source: str, revision: str) -> UserError | None:
    """Why a model was not loaded without the allowance, if it comes with code; None if it does not."""
    try:
        return code_not_allowed(source) if [*_references(source, revision)] else None
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):  # the files are damaged
        return None


def code_not_allowed(source: object) -> UserError:
    """The error for a model whose code this command does not allow."""
    return UserError(
        f"{source}: the model comes with Python code, which runs only if this command allows it: read the code, then "
        f"set model.trust_remote_code to true in the config of a training, or add --trust-remote-code to evaluate, "
        f"predict or export"
    )


def _references(source: str, revision: str) -> Iterator[str]:
    """The classes that a model names under `auto_map`: `module.Class`, or `owner/repository--module.Class`."""
    config, _ = PreTrainedConfig.get_config_dict(source, revision=revision)
    yield from _strings(config.get("auto_map"))
    yield from _strings(get_tokenizer_config(source, revision=revision).get("auto_map"))


def _strings(value: Any) -> Iterator[str]:
    """All strings of nested tables and lists: a tokenizer has a list of two, or a table with one."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)
