"""Training examples with the highest loss: after training, rows with a wrong label stand out among them."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

import torch

from ..config.config import Config
from ..console import progress
from ..data.batching import Padding
from ..data.rows import Row
from ..model.device import choose_device
from ..model.forward import forward, pass_tokens
from ..model.precision import inference_precision
from ..run.saved_model import SavedModel

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TrainingExamples:
    """Some training examples with their rows, and how many rows the files have."""

    rows: list[Row]
    examples: list[Any]
    total: int


def sampled(saved: SavedModel, rows: Iterable[Row], most: int, seed: int = 0) -> TrainingExamples:
    """The examples of the rows; of more than `most` rows, a random sample of so many, in their order.

    Of a ranking, whose rows belong together, queries are taken until there are as many rows.
    """
    random = Random(seed)
    if not saved.task.groups_rows:
        chosen, total = _reservoir(rows, most, random)
        return TrainingExamples(chosen, saved.task.parse(chosen), total)
    everything = list(rows)
    examples = saved.task.parse(everything)
    if len(everything) > most:
        sizes = [len(numbers) for numbers in saved.task.rows_of(examples)]
        order, kept, size = random.sample(range(len(examples)), len(examples)), set[int](), 0
        for number in order:
            if kept and size + sizes[number] > most:
                break
            kept.add(number)
            size += sizes[number]
        examples = [example for number, example in enumerate(examples) if number in kept]
    return TrainingExamples(everything, examples, len(everything))


def _reservoir(items: Iterable[T], most: int, random: Random) -> tuple[list[T], int]:
    """A uniform sample of what is read once (algorithm R of Vitter 1985), in its order, and how many there were."""
    chosen: list[tuple[int, T]] = []
    total = 0
    for number, item in enumerate(items):
        total += 1
        if len(chosen) < most:
            chosen.append((number, item))
        elif (place := random.randrange(total)) < most:
            chosen[place] = (number, item)
    return [item for _, item in sorted(chosen, key=lambda pair: pair[0])], total


@torch.inference_mode()
def losses_and_predictions(config: Config, saved: SavedModel, examples: Sequence[Any]) -> tuple[list[float], list[Any]]:
    """The loss of each example, the mean of its labels (of tags: the highest), and its prediction, in one pass.

    Nothing is generated. Where a loss compares examples, it is that among all of these. An example without a label that
    is scored has a loss of 0.
    """
    task, model = saved.task, saved.model.to(choose_device(config.train.device))
    compares = task.settings.compares_examples
    model.eval()
    features = task.encode(examples, saved.tokenizer, saved.max_length).features
    precision = inference_precision(config.train.precision, saved.precision, model.device)
    padding = Padding(saved.tokenizer, task.batch_labels, task.group_by_example)
    tokens = pass_tokens(config.train.micro_batch_tokens, model.device)
    parts: dict[int, list[float]] = defaultdict(list)
    decoded: list[Any] = [None] * len(features)
    with progress("losses of the training rows", len(features)) as advance:
        for rows in padding.make_micro_batches(features, range(len(features)), tokens):
            batch = padding.make_batch(features, rows).to(model.device)
            logits = forward(model, task, batch, precision)
            for row, value in zip(rows, task.decode(logits, batch.labels), strict=True):
                decoded[row] = (value, None) if task.generation else value
            advance(len(rows))
            scored = [
                unit for unit in _units(task, features, rows) if any(features[rows[i]].scored_labels for i in unit)
            ]
            if scored and not compares:
                losses = task.unit_losses(logits, batch.labels, scored).tolist()
                for unit, loss in zip(scored, losses, strict=True):
                    parts[features[rows[unit[0]]].example].append(loss)
    if compares:
        for feature, loss in zip(features, task.split_losses(features, decoded).tolist(), strict=True):
            parts[feature.example].append(loss)
    counts = [0] * len(examples)
    for feature in features:
        counts[feature.example] += feature.scored_labels
    total = max if task.worst_label_counts else math.fsum
    divisors = [1 if task.worst_label_counts else max(1, count) for count in counts]
    found = [total(parts[number]) / divisors[number] if number in parts else 0.0 for number in range(len(examples))]
    return found, task.predictions(examples, features, decoded)


def _units(task: Any, features: Sequence[Any], rows: Sequence[int]) -> list[list[int]]:
    """The rows of a batch in groups whose loss can be computed by itself."""
    units: dict[int, list[int]] = defaultdict(list)
    for position, row in enumerate(rows):
        units[features[row].example if task.group_by_example else position].append(position)
    return list(units.values())
