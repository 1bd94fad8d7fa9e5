"""Sharded checkpoints of FSDP2: each rank writes its shard of each tensor.

The files are those of torch.distributed.checkpoint in safetensors format, with the offset of each shard in the header.
Its default format has a pickle, which runs code when it is read. Its own writer of safetensors copies all shards of a
rank in memory, twice. A run resumes from these files with any number of ranks, sharded or not.
"""

import json
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.tensor import DTensor

from ..distributed.world import World
from ..errors import UserError
from ..files import Folder, entries, make_folders
from ..model.tensor_checks import require_finite_values, require_names, require_shape
from ..parsing import parsing
from .state_file import ANEW

SHARDS = "shards"
"""The folder of the shards in a checkpoint."""
STAGING = re.compile(rf"step-[0-9]+\.{SHARDS}")
"""Name of that folder until all ranks have written."""


def write_shards(staging: Path, weights: dict[str, Tensor], optimizer: dict[str, Any], world: World) -> dict[str, Any]:
    """Write the weights and the sharded tensors of the optimizer's state dict to a new folder, on all ranks.

    Returns the optimizer's state dict with None in their place.
    """
    rest, tensors = _split(optimizer)
    tensors |= {f"model.{name}": weight.detach() for name, weight in weights.items()}
    shards = {name: _own_shard(tensor, world) for name, tensor in tensors.items()}
    held = {name: (shard, offset) for name, (shard, offset) in shards.items() if shard.numel()}
    offsets = {name: {"saved_offsets": offset} for name, (_, offset) in held.items()}
    world.on_main(lambda: _make_empty(staging))
    with world.raise_together():
        path = staging / f"shard-{world.rank + 1:05}-of-{world.size:05}.safetensors"
        header = {"DCP_SHARDING_INFO": json.dumps(offsets), "DCP_VERSION": "1.0"}
        save_file({name: shard for name, (shard, _) in held.items()}, path, metadata=header)
    return rest


def read_shards(folder: Path, weights: dict[str, Tensor], optimizer: dict[str, Any], parameters: list[Tensor]) -> None:
    """Load into the weights in place, and put the tensors of the optimizer's state dict into the places of None.

    Each rank reads what it holds of `weights`, and for the optimizer what it holds of its `parameters`.
    Raises UserError where the files do not have exactly these tensors, whole and finite.
    """
    tensors = {f"model.{name}": weight.detach() for name, weight in weights.items()}
    for number, state in optimizer["state"].items():
        for name in [name for name, value in state.items() if value is None]:
            tensors[f"optimizer.{number}.{name}"] = state[name] = torch.zeros_like(parameters[number].detach())
    with warnings.catch_warnings(), parsing(f"{folder}: is damaged", ANEW):
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        reader = HuggingFaceStorageReader(str(folder))
        _require_whole(folder, reader.read_metadata().state_dict_metadata, tensors)
        load(tensors, storage_reader=reader, no_dist=True)
    for name, tensor in tensors.items():
        require_finite_values(folder, name, tensor.to_local() if isinstance(tensor, DTensor) else tensor, ANEW)


def _require_whole(folder: Path, saved: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Raise UserError unless the shards have these tensors, and those of each follow one another without a gap."""
    require_names(folder, saved, tensors, ANEW)
    for name, tensor in tensors.items():
        found = saved[name]
        require_shape(folder, name, found.size, found.properties.dtype, tensor, ANEW, same_format=True)
        row = 0
        for chunk in sorted(found.chunks, key=lambda chunk: tuple(chunk.offsets)):
            is_next = not found.size or (
                [*chunk.offsets] == [row, *[0] * (len(found.size) - 1)] and chunk.sizes[1:] == found.size[1:]
            )
            if not is_next:
                raise UserError(f"{folder}: '{name}' has shards that do not follow one another: {ANEW}")
            row += chunk.sizes[0] if found.size else 0
        if found.size and row != found.size[0]:
            raise UserError(f"{folder}: '{name}' has {row} rows instead of {found.size[0]}: {ANEW}")


def _own_shard(tensor: Tensor, world: World) -> tuple[Tensor, list[int]]:
    """What this rank writes of a tensor, and where it begins; of one that all ranks have, the main rank writes all."""
    start = [0] * tensor.ndim
    if not isinstance(tensor, DTensor):
        return tensor if world.is_main else tensor.new_empty(0), start
    start[0] = world.rank * -(-len(tensor) // world.size)  # as torch.chunk divides it
    return tensor.to_local(), start


def _split(optimizer: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """An optimizer's state dict with None in place of sharded tensors, and these."""
    sharded: dict[str, Tensor] = {
        f"optimizer.{number}.{name}": value
        for number, state in optimizer["state"].items()
        for name, value in state.items()
        if isinstance(value, DTensor)
    }
    states = {
        number: {name: None if isinstance(value, DTensor) else value for name, value in state.items()}
        for number, state in optimizer["state"].items()
    }
    return {**optimizer, "state": states}, sharded


def _make_empty(folder: Path) -> None:
    for left in entries(folder.parent):
        if STAGING.fullmatch(left.name):  # of a save that was killed
            Folder(folder.parent).remove(left.name)
    make_folders(folder)
