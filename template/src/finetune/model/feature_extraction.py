"""The method `head` (feature extraction): the body is frozen, so its output for a text is computed once and kept."""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.utils.generic import ModelOutput

from ..config.config import Train
from ..console import progress
from ..data.batching import Padding
from ..data.packing import Packing
from ..dataset import Split
from ..tasks.base import Task
from .device import Precision
from .forward import forward, pass_tokens

LIMIT = 2**31
"""Bytes of outputs that are kept at most. A constant, so that a resumed run does what it did before."""


class FrozenBody:
    """Stands in the place of a body's forward pass: computes without dropout, or returns what it has kept.

    Of each text it keeps the tensors of the body's output by the tokens of the text: (tokens, width), (width,), or
    (1, width) where the body computes the first token only.
    """

    def __init__(self, body: Any) -> None:
        self._body, self._compute = body, body.forward
        self._signature = inspect.signature(body.forward)
        self._kept: dict[bytes, dict[str, Tensor]] = {}
        self.is_keeping = self.fits = False
        body.forward = self._forward

    def keep(self) -> None:
        """From here on keep what is computed until `stop`; `fits` is whether the outputs have a known shape."""
        self.is_keeping = self.fits = True

    def stop(self) -> None:
        """Keep no more; nothing at all, if an output does not fit."""
        self.is_keeping = False
        if not self.fits:
            self._kept.clear()

    def _forward(self, *arguments: Any, **options: Any) -> Any:
        if self._body.training:  # set with that of the whole model
            self._body.eval()
        inputs = self._signature.bind(*arguments, **options).arguments
        ids, mask = inputs.get("input_ids"), inputs.get("attention_mask")
        if ids is None or mask is None or not (self._kept or self.is_keeping):
            return self._compute(*arguments, **options)
        is_text = mask.bool().cpu()
        keys = _keys(is_text, [ids, inputs.get("token_type_ids")])
        if all(key in self._kept for key in keys):
            return self._padded([self._kept[key] for key in keys], is_text, ids.device)
        output = self._compute(*arguments, **options)
        if self.is_keeping:
            self._type = type(output)
            tensors = {name: value.cpu() for name, value in output.items() if isinstance(value, Tensor)}
            rows = len(is_text)
            shapes = (is_text.shape, (rows, 1), (rows,))
            self.fits &= isinstance(output, ModelOutput) and all(v.shape[:-1] in shapes for v in tensors.values())
            if self.fits:
                self._kept |= zip(keys, _rows(tensors, is_text), strict=True)
        return output

    def _padded(self, rows: list[dict[str, Tensor]], is_text: Tensor, device: torch.device) -> ModelOutput:
        """The output of a batch: zeros where there is padding."""
        output = {}
        for name, first in rows[0].items():
            if first.ndim == 1 or sum(len(row[name]) for row in rows) < is_text.sum():
                output[name] = torch.stack([row[name] for row in rows]).to(device)
            else:
                padded = first.new_zeros(*is_text.shape, first.shape[-1])
                padded[is_text] = torch.cat([row[name] for row in rows])
                output[name] = padded.to(device)
        batch: ModelOutput = self._type(**output)
        return batch


def _rows(tensors: dict[str, Tensor], is_text: Tensor) -> Iterator[dict[str, Tensor]]:
    """The tensors of each row, without padding."""
    for row, chosen in enumerate(is_text):
        yield {
            name: value[row][chosen] if value.shape[:-1] == is_text.shape else value[row].clone()
            for name, value in tensors.items()
        }


def _keys(is_text: Tensor, columns: Sequence[Tensor | None]) -> list[bytes]:
    """The tokens of each row, without padding."""
    given = torch.stack([column.cpu() for column in columns if column is not None], 1)
    return [row[:, chosen].numpy().tobytes() for row, chosen in zip(given, is_text, strict=True)]


def extract_features(
    config: Train,
    model: Any,
    task: Task[Any, Any],
    batching: Padding | Packing,
    splits: Sequence[Split],
    precision: Precision,
    *,
    keep: bool = True,
) -> list[str]:
    """Let the body compute without dropout, and keep its outputs for the texts of `splits`; what to say of it.

    It computes them in each step if a part of the body is trained, such as a pooler that the checkpoint lacks, if they
    do not fit the limit or are not one vector for each token or text, if texts share rows (packing), or without `keep`:
    for ranks, which have other texts in each epoch.
    """
    body = model.base_model
    if body is model or any(parameter.requires_grad for parameter in body.parameters()):
        return []
    frozen = FrozenBody(body)
    tokens = sum(int(split.tokens.sum()) for split in splits)
    size = tokens * getattr(model.config.get_text_config(), "hidden_size", 0) * torch.float32.itemsize
    if not keep or not isinstance(batching, Padding) or not 0 < size <= LIMIT:
        return []
    model.eval()
    frozen.keep()
    budget = pass_tokens(config.micro_batch_tokens, model.device)  # as validation does
    with torch.no_grad(), progress("computing the body's outputs", sum(len(s.features) for s in splits)) as advance:
        for split in splits:
            every = range(len(split.features))
            for rows in batching.make_micro_batches(split.features, every, budget):
                forward(model, task, batching.make_batch(split.features, rows).to(model.device), precision)
                advance(len(rows))
    frozen.stop()
    model.train()
    return ["head: the outputs of the frozen body are computed once and kept"] if frozen.fits else []
