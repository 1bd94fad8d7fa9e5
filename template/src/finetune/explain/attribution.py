"""Attribution: how much each word contributes to a target, by integrated gradients and by occlusion.

Both are generators that pause after each pass through the model, so that a server can answer others in between.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.batching import Batch, Padding
from ..data.features import Feature
from ..errors import UserError
from ..model.device import Precision
from ..model.forward import forward, pass_tokens
from ..model.layers import unwrap_model
from ..tasks.base import Task
from .targets import Target
from .words import Reading

FEWEST, MOST = 16, 512
"""Steps of the integral: the first try, and where doubling ends."""
RELATIVE, ABSOLUTE = 0.01, 1e-3
"""The completeness error that ends the doubling: the larger one of a share of the difference, and a number."""


@dataclass(frozen=True, slots=True)
class Gradients:
    """Integrated gradients of each word."""

    words: list[float]
    value: float
    """The target of the text."""
    baseline: float
    """The target of the baseline input."""
    error: float
    """Completeness error: the sum over the words, less the difference of value and baseline."""
    steps: int


@dataclass(frozen=True, slots=True)
class Passes:
    """Passes of one model through copies of an example."""

    model: Any
    task: Task[Any, Any]
    tokenizer: Any
    budget: int
    """Tokens of a pass, padding included; one copy is never divided."""
    precision: Precision

    def batch(self, copies: Sequence[Sequence[Feature]]) -> Batch:
        """The features of all copies, as the rows of one batch."""
        rows = [replace(feature, example=number) for number, copy in enumerate(copies) for feature in copy]
        padding = Padding(self.tokenizer, self.task.batch_labels)
        return padding.make_batch(rows, range(len(rows))).to(self.model.device)

    def output(self, batch: Batch) -> Any:
        """What the forward pass returns: logits of the rows, or scores of tokens."""
        return forward(self.model, self.task, batch, self.precision)

    def values(self, copies: Sequence[Sequence[Feature]], target: Target) -> Tensor:
        """The target of each copy: (copies,)."""
        batch = self.batch(copies)
        return target.value(self.output(batch), batch.labels, len(copies))

    def at_once(self, features: Sequence[Feature]) -> int:
        """How many copies of these features fit into a pass."""
        size = len(features) * max(feature.tokens for feature in features)
        return max(1, pass_tokens(self.budget, self.model.device) // size)


def integrated_gradients(passes: Passes, reading: Reading, target: Target) -> Generator[None, None, Gradients]:
    """Integrated gradients (Sundararajan et al. 2017) with respect to the token embeddings.

    The gradient of the target, on the straight line from the baseline to the text, times their difference. In the
    baseline each token of a word is the mask token, or for want of one the padding token; special tokens stay. The
    integral is a Gauss-Legendre quadrature, whose points are doubled until the completeness error is small.
    Raises UserError where the model does not read the text by one lookup of token embeddings, or its windows, or a
    query and its document, are too much for the budget, because all of them are in memory with their gradients.
    """
    features = [reading.features[number] for number in target.features]
    size = len(features) * max(feature.length for feature in features)
    if len(features) > 1 and size > passes.budget:
        raise UserError(
            f"explain: the {len(features)} inputs that are read together have {size} tokens, more than the "
            f"{passes.budget} of train.micro_batch_tokens: use --method occlusion, or shorten the text"
        )
    tables = _tables(passes.model)
    neutral = baseline_token(passes.tokenizer)
    to_neutral = torch.zeros(len(features), max(feature.length for feature in features), dtype=torch.bool)
    for number, position in _places(reading, target):
        to_neutral[number, position] = True
    with torch.no_grad():
        batch = passes.batch([features])
        ids = batch.inputs["input_ids"]
        end = tables[0](ids)
        start = tables[0](ids.masked_fill(to_neutral.to(ids.device), neutral))
        baseline, value = (float(one) for one in _values(passes, features, target, torch.stack([start, end])))
    yield
    steps = FEWEST
    while True:
        points, weights = (torch.tensor(values) for values in np.polynomial.legendre.leggauss(steps))
        total = torch.zeros(end.shape[:2], dtype=torch.float64)
        for some, their in zip(*(one.split(passes.at_once(features)) for one in (points, weights)), strict=True):
            share = ((some + 1) / 2).to(end)[:, None, None, None]
            line = (start + share * (end - start)).detach().requires_grad_()
            [gradient] = torch.autograd.grad(_values(passes, features, target, line).sum(), line)
            products = (gradient * (end - start)).sum(-1).cpu().double()
            total += (their[:, None, None] / 2 * products).sum(0)
            yield
        error = float(total.sum()) - (value - baseline)
        if abs(error) <= max(ABSOLUTE, RELATIVE * abs(value - baseline)) or steps >= MOST:
            break
        steps *= 2
    row = {number: index for index, number in enumerate(target.features)}
    words = [
        sum(float(total[row[feature], position]) for feature, position in word.places if feature in row)
        for word in reading.words
    ]
    return Gradients(words, value, baseline, error, steps)


@torch.no_grad()
def occlusion(passes: Passes, reading: Reading, target: Target) -> Generator[None, None, list[float]]:
    """By how much the target falls when a word is left out (leave-one-out), for each word.

    Its tokens become the mask token. For want of one they are removed, or where others must keep their place, become
    the padding token.
    """
    features = [reading.features[number] for number in target.features]
    row = {number: index for index, number in enumerate(target.features)}
    copies = [features]
    for word in reading.words:
        copies.append(
            [
                _without(feature, {position for number, position in word.places if row.get(number) == index}, passes)
                for index, feature in enumerate(features)
            ]
        )
    found: list[float] = []
    at_once = passes.at_once(features)
    for first in range(0, len(copies), at_once):
        some = copies[first : first + at_once]
        found += passes.values(some, target).tolist()
        yield
    whole, *without = found
    return [whole - value for value in without]


def baseline_token(tokenizer: Any) -> int:
    """The token that stands for no word."""
    mask = tokenizer.mask_token_id
    return int(tokenizer.pad_token_id if mask is None else mask)


def _without(feature: Feature, positions: set[int], passes: Passes) -> Feature:
    tokenizer, removed = passes.tokenizer, passes.tokenizer.mask_token_id is None
    if not positions:
        return feature
    # A tag and a generated token have to keep their place, and a text that has nothing else has to keep a token.
    is_placed = passes.task.splits_into_words or passes.task.generation
    if not removed or is_placed or len(positions) == feature.length:
        neutral = baseline_token(tokenizer)
        ids = [neutral if i in positions else token for i, token in enumerate(feature.inputs["input_ids"])]
        return replace(feature, inputs={**feature.inputs, "input_ids": ids})
    kept = {
        name: [value for i, value in enumerate(values) if i not in positions] for name, values in feature.inputs.items()
    }
    return replace(feature, inputs=kept)


def _places(reading: Reading, target: Target) -> Iterator[tuple[int, int]]:
    """Row and position of each token of a word, in the rows of the target's features."""
    row = {number: index for index, number in enumerate(target.features)}
    for word in reading.words:
        yield from ((row[number], position) for number, position in word.places if number in row)


def _values(passes: Passes, features: Sequence[Feature], target: Target, embeddings: Tensor) -> Tensor:
    """The target (n,) of copies of the features whose token embeddings are (n, features, tokens, width)."""
    with _embedded(passes, embeddings.flatten(0, 1)):
        return passes.values([features] * len(embeddings), target)


def _tables(model: Any) -> list[nn.Module]:
    """The modules that look up token embeddings in the table of the inputs. Raises UserError if there is none."""
    try:
        table = unwrap_model(model).get_input_embeddings()
        return [table, *(one for one in model.modules() if one is not table and _shares(one, table))]
    except (AttributeError, NotImplementedError) as error:
        raise _unsupported(model) from error


def _shares(module: nn.Module, table: Any) -> bool:
    return isinstance(module, nn.Embedding) and module.weight is table.weight


@contextmanager
def _embedded(passes: Passes, embeddings: Tensor) -> Iterator[None]:
    """Let the lookup of token embeddings return these: by a hook, because ids also decide about positions and pooling.

    An encoder-decoder that generates looks up the text first, and then what it has generated, which stays.
    Raises UserError for another second lookup: of a text that the decoder reads, too.
    """
    calls, expected = 0, 2 if passes.task.generation and passes.model.config.is_encoder_decoder else 1

    def replace_output(_: Any, __: Any, output: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return embeddings.to(output.dtype) if calls == 1 else output

    hooks = [table.register_forward_hook(replace_output) for table in _tables(passes.model)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    if calls != expected:
        raise _unsupported(passes.model)


def _unsupported(model: Any) -> UserError:
    return UserError(
        f"explain: a {model.config.model_type} model does not read a text by one lookup of token embeddings: use "
        f"--method occlusion"
    )
