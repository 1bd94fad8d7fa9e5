"""Nested state, such as that of an optimizer, as JSON with its tensors in a safetensors file: reading it runs no code.

What JSON does not have is an object with one key: {"tensor": name}, {"dict": pairs, keys of any type}, {"tuple": list}.
"""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import UserError
from ..parsing import parsing, shortened

ANEW = "put back an intact checkpoint, or start without --resume"


def save_state(path: Path, state: Any) -> None:
    """Write PATH.json and PATH.safetensors. `state`: dicts, lists, tuples, tensors, numbers, texts and None."""
    tensors: dict[str, Tensor] = {}
    names: dict[tuple[Any, ...], str] = {}

    def plain(value: Any) -> Any:
        match value:
            case Tensor():
                # Some optimizers share a table among all parameters; safetensors refuses a tensor under two names.
                key = (value.data_ptr() or id(value), value.shape, value.stride(), value.dtype)
                name = names.setdefault(key, str(len(names)))
                tensors[name] = value.contiguous()
                return {"tensor": name}
            case dict():
                return {"dict": [[plain(key), plain(inner)] for key, inner in value.items()]}
            case tuple():
                return {"tuple": [plain(inner) for inner in value]}
            case list():
                return [plain(inner) for inner in value]
            case None | bool() | int() | float() | str():
                return value
        raise TypeError(f"no plain state: {type(value).__name__}")

    path.with_suffix(".json").write_text(json.dumps(plain(state)))
    save_file(tensors, path.with_suffix(".safetensors"))


def load_state(path: Path) -> Any:
    """What `save_state` has written, with tensors on the CPU. Raises UserError where the two files do not fit."""
    tensors, used = load_file(path.with_suffix(".safetensors")), set[str]()

    def nested(value: Any) -> Any:
        match value:
            case {"tensor": name}:
                if isinstance(name, str) and name not in tensors:
                    raise UserError(f"{path}.safetensors: '{shortened(str(name))}' is missing: {ANEW}")
                used.add(name)
                return tensors[name]
            case {"dict": items}:
                return {nested(key): nested(inner) for key, inner in items}
            case {"tuple": inner}:
                return tuple(map(nested, inner))
            case list():
                return [*map(nested, value)]
        return value

    with parsing(f"{path}.json: is not the state of a training", ANEW):
        state = nested(json.loads(path.with_suffix(".json").read_text()))
    if others := tensors.keys() - used:
        raise UserError(f"{path}.safetensors: '{shortened(min(others))}' is no tensor of this training: {ANEW}")
    return state
