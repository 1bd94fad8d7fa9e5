"""The gradient of large embedding tables on a CPU: of the rows that a batch looks up, not of the whole vocabulary.

Autograd makes a new zero-filled gradient of the whole table in each backward pass and adds it to the earlier ones,
which takes a sixth of a step of a small encoder. Here the lookup keeps its gradient by rows: clipping sees these rows,
and the optimizer, which updates all rows, one buffer that is zero elsewhere.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALL = 2**20
"""Weights of a table up to which autograd's gradient is left alone."""


class EmbeddingGradient:
    """The gradient of one table in the current step."""

    def __init__(self, table: nn.Embedding) -> None:
        self.weight, self._padding = table.weight, table.padding_idx
        self._parts: list[tuple[Tensor, Tensor]] = []
        self._buffer: Tensor | None = None
        self.is_collecting = False

    def add(self, ids: Tensor, gradient: Tensor) -> None:
        """Add a backward pass: the gradient of what was looked up, (..., width), of `ids` (...)."""
        rows, place = torch.unique(ids, return_inverse=True)
        values = gradient.new_zeros(len(rows), gradient.shape[-1])
        values.index_add_(0, place.flatten(), gradient.flatten(0, -2))
        if self._padding is not None:
            values[rows == self._padding] = 0  # it has no gradient
        self._parts.append((rows, values))

    def merge(self) -> nn.Parameter | None:
        """A parameter whose gradient is that of the rows that were looked up; None if the table's own gradient has all.

        Passes are added in their order, each as a sum by itself: the same to the bit as adding whole tables.
        """
        if self.weight.grad is not None:  # of another use of the table, such as a penalty on its weights
            for rows, values in self._parts:
                self.weight.grad.index_add_(0, rows, values)
            self._parts.clear()
        if not self._parts:
            return None
        rows = torch.cat([rows for rows, _ in self._parts]).unique()
        total = self._parts[0][1].new_zeros(len(rows), self.weight.shape[1])
        for some, values in self._parts:
            total.index_add_(0, torch.searchsorted(rows, some), values)
        self._parts = [(rows, total)]
        merged = nn.Parameter(torch.empty_like(total))
        merged.grad = total
        return merged

    def fill(self) -> None:
        """Give the table its whole gradient, after `merge`."""
        if self._parts:
            if self._buffer is None:
                self._buffer = torch.zeros_like(self.weight)
            rows, values = self._parts[0]
            self._buffer.index_copy_(0, rows, values)
            self.weight.grad = self._buffer

    def clear(self) -> None:
        """Forget the step."""
        if self.weight.grad is self._buffer and self._buffer is not None:
            self._buffer.index_fill_(0, self._parts[0][0], 0)
            self.weight.grad = None
        self._parts.clear()


class _Lookup(torch.autograd.Function):
    """An embedding whose gradient goes to an EmbeddingGradient instead of to autograd."""

    @staticmethod
    def forward(ctx: Any, ids: Tensor, weight: Tensor, gradient: EmbeddingGradient) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.gradient = gradient
        return F.embedding(ids, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, None]:
        (ids,) = ctx.saved_tensors
        ctx.gradient.add(ids, gradients[0])
        return None, None, None


class RowwiseEmbedding(nn.Embedding):
    """An embedding whose table has an EmbeddingGradient."""

    gradient: EmbeddingGradient

    def forward(self, input: Tensor) -> Tensor:
        if not self.gradient.is_collecting:
            return super().forward(input)
        result: Tensor = _Lookup.apply(input, self.weight, self.gradient)  # type: ignore[no-untyped-call]
        return result


class EmbeddingGradients:
    """The tables of a model that have their gradient by rows; perhaps none."""

    def __init__(self, tables: Sequence[nn.Embedding] = ()) -> None:
        self.tables: dict[Tensor, EmbeddingGradient] = {}
        for table in tables:
            self.tables[table.weight] = gradient = EmbeddingGradient(table)
            table.__class__ = RowwiseEmbedding  # in place: names and the rest of the model stay as they are
            cast("RowwiseEmbedding", table).gradient = gradient

    @contextmanager
    def by_rows(self) -> Iterator[None]:
        """Forward passes in the block keep the gradients of the tables by rows; others leave them to autograd."""
        for gradient in self.tables.values():
            gradient.is_collecting = True
        try:
            yield
        finally:
            for gradient in self.tables.values():
                gradient.is_collecting = False

    def merged(self, parameters: Sequence[nn.Parameter]) -> list[nn.Parameter]:
        """`parameters` for clipping: in place of each table one whose gradient has the rows that were looked up."""
        return [
            merged if (own := self.tables.get(parameter)) and (merged := own.merge()) is not None else parameter
            for parameter in parameters
        ]

    @contextmanager
    def filled(self) -> Iterator[None]:
        """In the block the tables have their whole gradients, for the optimizer; after it the step is forgotten."""
        for gradient in self.tables.values():
            gradient.fill()
        yield
        self.clear()

    def clear(self) -> None:
        """Forget the gradients of the step, as `zero_grad` does for the others."""
        for gradient in self.tables.values():
            gradient.clear()


def rowwise_gradients(model: nn.Module) -> EmbeddingGradients:
    """Tables that only a lookup uses, in a model that is whole in this process, on a CPU.

    On a GPU filling memory is cheap, and finding the rows would wait for it.
    """
    uses: Counter[Tensor] = Counter(parameter for _, parameter in model.named_parameters(remove_duplicate=False))
    return EmbeddingGradients(
        [
            module
            for module in model.modules()
            if type(module) is nn.Embedding
            and module.weight.device.type == "cpu"
            and module.weight.requires_grad
            and module.weight.numel() > SMALL
            and uses[module.weight] == 1
            and not (module.sparse or module.max_norm is not None or module.scale_grad_by_freq)
        ]
    )
