"""Batches: padded tensors of features, in micro-batches that keep within a token budget."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .features import Feature

MakeLabels = Callable[[Sequence[Feature], int], Tensor]
"""The labels of features whose inputs are padded to a number of tokens, as a task's loss takes them."""


@dataclass(slots=True)
class Batch:
    """Padded or packed tensors for one forward pass."""

    inputs: dict[str, Any]
    """(rows, tokens) each: input_ids, attention_mask and, where the model has them, token_type_ids; features (rows, n).

    A packed batch has position_ids instead of the mask, and the boundaries of its texts (cu_seq_lens_q).
    """
    labels: Tensor
    """As the task's loss takes them."""
    rows: list[int]
    """Index of each row in the features that the batch was made of."""
    size: int
    """Tokens of the forward pass, padding included."""

    def to(self, device: torch.device) -> "Batch":
        """The batch on `device`; copies to a GPU overlap with its work."""
        if device.type == "cpu":
            return self
        pinned = device.type == "cuda"

        def move(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            value = value.float() if device.type == "mps" and value.is_floating_point() else value  # it has no fp64
            return (value.pin_memory() if pinned else value).to(device, non_blocking=pinned)

        return Batch({k: move(value) for k, value in self.inputs.items()}, move(self.labels), self.rows, self.size)


def micro_batches(
    features: Sequence[Feature], rows: Sequence[int], budget: int, group_by_example: bool = False
) -> list[list[int]]:
    """`rows` of `features` in groups of at most `budget` padded tokens; a larger one is a group by itself.

    Rows with different numbers of end tokens are separated. Otherwise the longest come first: if memory runs out, it
    does so early. `group_by_example`: features of one example stay in one group.
    """
    units: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        units[features[row].example if group_by_example else row].append(row)
    longest = {unit: max(features[row].tokens for row in members) for unit, members in units.items()}
    ends = {unit: features[members[0]].end_tokens for unit, members in units.items()}
    groups: list[list[int]] = []
    width = number = 0
    for unit in sorted(units, key=lambda unit: (ends[unit], -longest[unit])):
        if groups and ends[unit] == number and (len(groups[-1]) + len(units[unit])) * width <= budget:
            groups[-1] += units[unit]
        else:
            groups.append(list(units[unit]))
            width, number = longest[unit], ends[unit]
    return groups


@dataclass(frozen=True, slots=True)
class Padding:
    """Batches of rows that are padded to the longest of them. `data/packing.py` has the alternative."""

    tokenizer: Any
    make_labels: MakeLabels
    group_by_example: bool = False

    def make_micro_batches(self, features: Sequence[Feature], rows: Sequence[int], budget: int) -> list[list[int]]:
        """`rows` of `features` in groups of at most `budget` padded tokens."""
        return micro_batches(features, rows, budget, self.group_by_example)

    def make_batch(self, features: Sequence[Feature], rows: Sequence[int]) -> Batch:
        """The chosen rows as tensors."""
        chosen = [features[row] for row in rows]
        length = max(feature.length for feature in chosen)
        padding = {"input_ids": self.tokenizer.pad_token_id, "token_type_ids": self.tokenizer.pad_token_type_id}
        inputs = {
            name: torch.tensor([f.inputs[name] + [padding[name]] * (length - f.length) for f in chosen])
            for name in chosen[0].inputs
        }
        lengths = torch.tensor([feature.length for feature in chosen])
        inputs["attention_mask"] = (torch.arange(length) < lengths[:, None]).long()
        if chosen[0].extra:
            inputs["features"] = torch.tensor([feature.extra for feature in chosen])
        size = len(chosen) * (length + max(feature.target_length for feature in chosen))
        return Batch(inputs, self.make_labels(chosen, length), list(rows), size)
