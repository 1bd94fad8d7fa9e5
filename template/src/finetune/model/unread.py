"""Load a model that will be sharded without reading its weights: each rank reads its shard from the files later.

transformers gets a placeholder for each tensor of the safetensors files: it has the shape and next to no memory. So new
weights are drawn, and buffers computed, as in a load that reads all; and the method is applied to weights on the CPU.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME
from transformers.utils.hub import cached_file, get_checkpoint_shard_files

from .folder_checks import ANEW
from .foreign_files import ADAPTER
from .tensor_checks import require_finite_values


class Unread:
    """A tensor of a safetensors file, as a value of the state dict that transformers loads."""

    def __init__(self, path: str, name: str, shape: list[int]) -> None:
        self.path, self.name, self.shape = path, name, shape
        self.placeholder: Tensor | None = None
        """What transformers has put into the model, if it has taken the tensor."""

    def __getitem__(self, _: Any) -> "Unread":
        """transformers takes `[...]` of what it loads, to read it from the file."""
        return self

    def to(self, *, device: Any = None, dtype: torch.dtype | None = None) -> Tensor:
        """Zeros, all but one column of which are views. Their strides show a transposition."""
        zeros = torch.zeros([*self.shape[:-1], 1] if self.shape else [], dtype=dtype)
        self.placeholder = zeros.expand(self.shape)
        return self.placeholder

    def is_in(self, weight: Tensor) -> bool:
        """Whether a weight of the model is the tensor as it stands in the file, but for its number format."""
        mine = self.placeholder
        if mine is None or mine.dtype != weight.dtype:
            return False
        return (mine.data_ptr(), mine.shape, mine.stride()) == (weight.data_ptr(), weight.shape, weight.stride())

    def read(self, start: int = 0, end: int | None = None) -> Tensor:
        """Rows of it, in the format of the file; no others are read. Raises UserError if one is not finite."""
        with safe_open(self.path, framework="pt") as file:
            rows: Tensor = file.get_slice(self.name)[start:end] if self.shape else file.get_tensor(self.name)
        require_finite_values(self.path, self.name, rows, ANEW)
        return rows


def unread(weight: Tensor) -> Unread | None:
    """What a weight of a model stands for that has not been read yet."""
    return vars(weight).get("unread")


def load_unread(
    load: Callable[[dict[str, Unread]], tuple[Any, dict[str, Any]]],
    files: Iterable[str],
    used: Callable[[Any], Iterable[str]],
) -> tuple[Any, dict[str, Any]] | None:
    """What `load` returns for the tensors of safetensors files: the model, with placeholders, and its loading info.

    Read are buffers, and the modules that `used` names for the model. None if a tensor is not a weight of the model as
    it stands, because transformers converts it, or ties it to another; random numbers are drawn again then.
    """
    tensors: dict[str, Unread] = {}
    for path in files:
        with safe_open(path, framework="pt") as file:
            tensors |= {name: Unread(path, name, file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    random = torch.get_rng_state()
    model, info = load(tensors)
    taken = {tensor.placeholder.data_ptr(): tensor for tensor in tensors.values() if tensor.placeholder is not None}
    to_read = {id(weight) for name in used(model) for weight in model.get_submodule(name).parameters()}
    found = set()
    for weight in (*model.parameters(), *model.buffers()):
        tensor = taken.get(weight.data_ptr())
        if tensor is None or not tensor.is_in(weight):
            continue
        found.add(tensor)
        if isinstance(weight, nn.Parameter) and id(weight) not in to_read:
            vars(weight)["unread"] = tensor
        else:
            weight.data = tensor.read().to(weight.dtype)
    if len(found) + len(info["mismatched_keys"]) != len(taken):
        torch.set_rng_state(random)
        return None
    return model, info


def to_meta(model: nn.Module) -> bool:
    """Put the weights that have not been read on the meta device, in place; returns whether there are any."""
    weights = [(weight, tensor) for weight in model.parameters() if (tensor := unread(weight))]
    for weight, tensor in weights:
        meta = nn.Parameter(torch.empty(weight.shape, dtype=weight.dtype, device="meta"), weight.requires_grad)
        vars(meta)["unread"] = tensor
        torch.utils.swap_tensors(weight, meta)
    return bool(weights)


def files_to_read_later(source: str, revision: str) -> list[str]:
    """The safetensors files of a model, `source` being a folder or a name on the Hub; none if they are not all."""
    find = partial(cached_file, source, revision=revision, _raise_exceptions_for_missing_entries=False)
    if find(ADAPTER):  # with it, transformers loads an adapter as well
        return []
    if whole := find(SAFE_WEIGHTS_NAME):
        return [whole]
    index = find(SAFE_WEIGHTS_INDEX_NAME)
    return [*get_checkpoint_shard_files(source, index, revision=revision)[0]] if index else []
