"""Damaged files of a model folder: each is named, with what is wrong and the remedy.

transformers passes over files that it cannot open, such as a folder in the place of tokenizer_config.json, makes as
many layers and labels as config.json says, and raises errors of any class, most of which name no file.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from safetensors import safe_open
from torch import Tensor

from ..errors import UserError
from ..files import reads_content
from ..hub_client import HUB_NAME
from ..parsing import parsing, require_regular
from .tensor_checks import require_finite_values

CONFIG, INDEX, WEIGHTS = "config.json", "model.safetensors.index.json", "model.safetensors"
TOKENIZER = "tokenizer.json"
SETTINGS = (
    CONFIG,
    INDEX,
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
"""Files with a JSON object each, small enough to be read before every loading."""
OTHERS = (TOKENIZER, WEIGHTS, "vocab.json", "merges.txt", "vocab.txt", "spiece.model", "tokenizer.model",
          "sentencepiece.bpe.model", "chat_template.jinja")  # fmt: skip
MOST_SETTINGS = 64 << 20
"""Bytes of a file of settings; the largest ones list some ten thousand added tokens in 10 MB."""
PICKLED = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt", "tf_model.h5", "flax_model.msgpack")
LFS_POINTER = b"version https://git-lfs.github.com/spec/"

ANEW = "copy it anew from where the model comes from, or download the model with `finetune fetch`"

REPEATED = re.compile(r"layers?$|blocks?$|num_labels$|experts$|heads?$")
"""Keys of config.json that say how often something is made."""
ONE = re.compile(r"(?<!n_)layer$")
"""Keys of config.json that name one layer, counted from the end if negative, such as vision_feature_layer."""
MOST_REPEATED = 100_000
PROBABILITY = re.compile(r"dropout|drop_prob|pdrop")
PARAMETERS_PER_BYTE = 16
"""More parameters than that for each byte of the weights, and some millions for a head, belong to another model."""
SMALL = 2**27


def require_sound_settings(source: str) -> None:
    """Raise UserError for files of the folder `source`, if it is one, that are not what their names say.

    The large ones are opened, not read.
    """
    folder = Path(source)
    if not folder.is_dir():
        return
    for name in SETTINGS:
        if _is_there(folder / name):
            values = _json_object(folder / name)
            if name == CONFIG:
                _require_possible(folder / name, values)
    for name in OTHERS:
        if _is_there(folder / name):
            _require_content(folder / name)


def require_sound_weights(source: str) -> None:
    """Raise UserError if the weights of the folder `source`, if it is one, are damaged or not finite."""
    folder = Path(source)
    if folder.is_dir():
        for path in weight_files(folder):
            _require_header(path)
            with parsing(f"{path}: is damaged or cut", ANEW), safe_open(path, framework="pt") as file:
                require_finite(path, ((name, file.get_tensor(name)) for name in file.keys()))  # noqa: SIM118


def require_finite(path: Path, weights: Iterable[tuple[str, Tensor]]) -> None:
    """Raise UserError for one of the weights of a file that is NaN or infinite: all that is computed would be NaN."""
    if not reads_content():
        return
    for name, tensor in weights:
        require_finite_values(path, name, tensor, ANEW)


def weight_files(folder: Path) -> list[Path]:
    """The files of the weights of a model folder. Raises UserError for an index that names others, or missing ones."""
    if _is_there(folder / WEIGHTS):
        return [folder / WEIGHTS]
    index = folder / INDEX
    if not _is_there(index):
        return []
    names = _json_object(index).get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise UserError(f"{index}: weight_map does not name the file of each weight: {ANEW}")
    files = sorted({*names.values()})
    for name in files:
        if name != Path(name).name or "\\" in name or not name.endswith(".safetensors"):
            raise UserError(f"{index}: weight_map names '{name}', which is no .safetensors file of this folder: {ANEW}")
        if not _is_there(folder / name):
            raise UserError(f"{folder / name}: is missing, but {INDEX} names it: {ANEW}")
    return [folder / name for name in files]


def damage(source: str, revision: str, *, of_weights: bool) -> UserError | None:
    """What is wrong with the files of a folder, or of a model of the Hub in the cache, that could not be loaded.

    `of_weights`: whether the loading was one of weights, which may be missing as well.
    """
    folder = Path(source)
    if not folder.is_dir():
        cached = try_to_load_from_cache(source, CONFIG, revision=revision) if HUB_NAME.fullmatch(source) else None
        if not isinstance(cached, str):
            return None
        folder = Path(cached).parent
    try:
        require_sound_settings(str(folder))
        for path in (folder / TOKENIZER, folder / "vocab.json"):
            if _is_there(path):
                _json_object(path, most=None)
        for path in sorted(folder.glob("*.safetensors")):
            _require_header(path)
        return _without_weights(folder) if of_weights and not weight_files(folder) else None
    except UserError as error:
        return error


def require_fitting_size(source: str, parameters: int) -> None:
    """Raise UserError if config.json asks for far more parameters than the weights of the folder have bytes.

    transformers would make the rest, of any size, from random numbers.
    """
    folder = Path(source)
    if folder.is_dir() and (files := weight_files(folder)):
        size = sum(path.stat().st_size for path in files)
        if parameters > PARAMETERS_PER_BYTE * size + SMALL:
            raise UserError(
                f"{folder / CONFIG}: describes a model of {parameters:,} parameters, but its weights have {size:,} "
                f"bytes: {ANEW}"
            )


def _require_possible(path: Path, values: dict[str, Any]) -> None:
    for key, value in _numbers(values):
        least = -MOST_REPEATED if ONE.search(key) else 0
        is_possible = least <= value <= MOST_REPEATED if REPEATED.search(key) else True
        if PROBABILITY.search(key):
            is_possible = 0 <= value <= 1  # not NaN either
        if not is_possible:
            raise UserError(f"{path}: {key} is {value}, which no model has: {ANEW}")


def _numbers(values: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers of nested tables, by their keys."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _numbers(value)
        elif isinstance(value, int | float):
            yield key, value


def _json_object(path: Path, most: int | None = MOST_SETTINGS) -> dict[str, Any]:
    size = _require_content(path)
    if most is not None and size > most:
        raise UserError(f"{path}: has {size:,} bytes, more than any model's: {ANEW}")
    with parsing(f"{path}: is damaged", ANEW):
        found = json.loads(path.read_bytes())
    if not isinstance(found, dict):
        raise UserError(f"{path}: holds no JSON object: {ANEW}")
    return found


def _require_header(path: Path) -> None:
    """Raise UserError unless the header of a .safetensors file fits its size."""
    _require_content(path)
    with parsing(f"{path}: is damaged or cut", ANEW), safe_open(path, framework="pt"):
        pass


def _require_content(path: Path) -> int:
    """The size of a file. Raises UserError unless it is a regular one, which can be read and is not empty."""
    size = require_regular(path, ANEW).st_size
    with parsing(f"{path}: cannot be read", ANEW), path.open("rb") as file:
        beginning = file.read(len(LFS_POINTER))
    if beginning == LFS_POINTER:
        raise UserError(
            f"{path}: is a pointer of Git LFS, not the file itself: run `git lfs pull` in that folder, or download the "
            f"model with `finetune fetch`"
        )
    if not beginning:
        raise UserError(f"{path}: is empty: {ANEW}")
    return size


def _without_weights(folder: Path) -> UserError:
    for pattern in PICKLED:
        for path in sorted(folder.glob(pattern)):
            return UserError(
                f"{path}: is the only form of the weights, and not read, because loading such a file may run code: "
                f"take a revision of the model with {WEIGHTS}, or convert it where you trust it "
                f"(`AutoModel.from_pretrained(…).save_pretrained(…)`)"
            )
    return UserError(f"{folder}: lacks {WEIGHTS}, or {INDEX} with the files that it names: {ANEW}")


def _is_there(path: Path) -> bool:
    """Whether there is anything of that name, also a link that leads nowhere."""
    return os.path.lexists(path)
