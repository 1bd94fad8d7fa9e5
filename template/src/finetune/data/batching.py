"""What one step sees: examples of similar length together, cut so that a micro-batch fits its token budget."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .features import Feature

MakeLabels = Callable[[Sequence[Feature], int], Tensor]
"""The labels of features whose inputs are padded to a number of tokens, as a task's loss takes them."""

WINDOW = 32
"""Batches that are sorted by length together: enough to save padding, few enough to keep the order random."""


@dataclass(slots=True)
class Batch:
    """Padded or packed tensors for one pass through the model."""

    inputs: dict[str, Any]
    """(rows, tokens) each: input_ids, attention_mask and, where the model has them, token_type_ids.

    Of a packed batch: position_ids instead of the mask, and where its texts begin and end.
    """
    labels: Tensor
    """As the task's loss wants them."""
    rows: list[int]
    """Index of each row in the features that the batch was made of."""
    size: int
    """Tokens that pass through the model, with padding."""

    def to(self, device: torch.device) -> "Batch":
        """The batch on `device`; copies to a GPU overlap with its work."""
        if device.type == "cpu":
            return self
        pinned = device.type == "cuda"

        def move(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            return (value.pin_memory() if pinned else value).to(device, non_blocking=pinned)

        inputs = {name: move(value) for name, value in self.inputs.items()}
        return Batch(inputs, move(self.labels), self.rows, self.size)


def epoch_batches(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """The examples of every optimizer step of an epoch, each exactly once.

    Examples of similar length share a step. The result is a function of the arguments alone, so a resumed run needs
    nothing but the number of the step to go on.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    size = np.asarray(lengths)
    batches: list[list[int]] = []
    for start in range(0, len(order), WINDOW * batch_size):
        window = order[start : start + WINDOW * batch_size]
        window = window[np.argsort(size[window], kind="stable")]
        batches += [window[i : i + batch_size].tolist() for i in range(0, len(window), batch_size)]
    random.shuffle(batches)
    return batches


def micro_batches(
    features: Sequence[Feature], rows: Sequence[int], budget: int, together: bool = False
) -> list[list[int]]:
    """`rows` of `features` cut into groups of at most `budget` padded tokens; what is larger goes alone.

    Rows with different numbers of end tokens go apart. Of one number, the longest come first: if memory is going to
    run out, it does so soon. `together`: rows of one example share a group.
    """
    units: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        units[features[row].example if together else row].append(row)
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


def collate(features: Sequence[Feature], rows: list[int], make_labels: MakeLabels, tokenizer: Any) -> Batch:
    """Pad the chosen rows to the longest of them."""
    chosen = [features[row] for row in rows]
    length = max(feature.length for feature in chosen)
    padding = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}
    inputs = {
        name: torch.tensor([feature.inputs[name] + [padding[name]] * (length - feature.length) for feature in chosen])
        for name in chosen[0].inputs
    }
    lengths = torch.tensor([feature.length for feature in chosen])
    inputs["attention_mask"] = (torch.arange(length) < lengths[:, None]).long()
    size = len(chosen) * (length + max(feature.target_length for feature in chosen))
    return Batch(inputs, make_labels(chosen, length), rows, size)
