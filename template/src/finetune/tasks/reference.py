"""Log-probabilities of the reference model, which preference tuning compares with: computed once, then looked up."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ..data.features import Feature
from ..errors import UserError

FILE = "reference.safetensors"


@dataclass(frozen=True, slots=True)
class Reference:
    """The log-probability of each known text, found by a checksum of its tokens: so its file and row do not matter."""

    keys: NDArray[np.int64]
    """(texts,), ascending."""
    values: NDArray[np.float64]
    """(texts,): the sum over the scored tokens."""

    @classmethod
    def of(cls, keys: Sequence[int], values: Sequence[float]) -> "Reference":
        """Of texts in any order; of equal ones, which have equal values but for rounding, the first counts."""
        ascending, first = np.unique(np.array(keys, np.int64), return_index=True)
        return cls(ascending, np.array(values, np.float64)[first])

    def __contains__(self, feature: Feature) -> bool:
        return self._index(feature) is not None

    def value(self, feature: Feature) -> float:
        """The log-probability of a text; NaN if it is not known, as of a prompt that is to be answered."""
        index = self._index(feature)
        return math.nan if index is None else float(self.values[index])

    def _index(self, feature: Feature) -> int | None:
        key = key_of(feature)
        index = int(np.searchsorted(self.keys, key))
        return index if index < len(self.keys) and self.keys[index] == key else None

    def write(self, target: Path) -> None:
        """Write it into a folder."""
        save_file({"keys": self.keys, "values": self.values}, target / FILE)

    @classmethod
    def read(cls, folder: Path) -> "Reference | None":
        """The inverse of `write`; None if the folder has none. Raises UserError if it is damaged."""
        path = folder / FILE
        if not path.is_file():
            return None
        try:
            content = load_file(path)
            keys, values = content["keys"], content["values"]
        except (OSError, KeyError, ValueError, SafetensorError) as error:
            raise _damaged(path) from error
        if keys.dtype != np.int64 or values.dtype != np.float64 or keys.ndim != 1 or keys.shape != values.shape:
            raise _damaged(path)
        return cls(keys, values)


def key_of(feature: Feature) -> int:
    """64 bits of a checksum of the tokens and of which of them are scored."""
    content = np.array([feature.inputs["input_ids"], feature.labels], np.int64).tobytes()
    digest = hashlib.blake2b(content, digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def _damaged(path: Path) -> UserError:
    return UserError(f"{path}: is damaged: put back an intact copy, or train the run again")
