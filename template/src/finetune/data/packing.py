"""Packing: texts behind each other in one row instead of padded rows; attention stays within each text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from .batching import Batch, MakeLabels
from .features import IGNORE, Feature


@dataclass(frozen=True, slots=True)
class Packing:
    """Batches of one row each, for a model that uses packed attention."""

    make_labels: MakeLabels
    first: int
    """Position id of the first token of a text."""
    causal: bool
    """Whether the model predicts the next token: the first token of a text is then not predicted from the last one."""

    def make_micro_batches(self, features: Sequence[Feature], rows: Sequence[int], budget: int) -> list[list[int]]:
        """`rows` of `features` in groups of at most `budget` tokens, longest first; a larger one stands alone."""
        packed: list[list[int]] = []
        room = 0
        for row in sorted(rows, key=lambda row: -features[row].length):
            if features[row].length > room:
                packed.append([])
                room = budget
            packed[-1].append(row)
            room -= features[row].length
        return packed

    def make_batch(self, features: Sequence[Feature], rows: Sequence[int]) -> Batch:
        """The chosen features in one row."""
        chosen = [features[row] for row in rows]
        lengths = torch.tensor([feature.length for feature in chosen])
        inputs: dict[str, Any] = {
            name: torch.tensor([[value for feature in chosen for value in feature.inputs[name]]])
            for name in chosen[0].inputs
        }
        inputs["position_ids"] = torch.cat([torch.arange(feature.length) for feature in chosen])[None] + self.first
        inputs["cu_seq_lens_q"] = F.pad(lengths.cumsum(0), (1, 0)).int()
        inputs["max_length_q"] = int(lengths.max())
        labels = [self.make_labels([feature], feature.length) for feature in chosen]
        if self.causal:
            for row in labels:
                row[:, 0] = IGNORE
        return Batch(inputs, torch.cat(labels, dim=1), list(rows), int(lengths.sum()))
