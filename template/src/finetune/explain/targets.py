"""What is explained: the number among a model's outputs that stands for a prediction.

Of a label it is the log-odds of its probability p, ln(p / (1 - p)): unlike a logit of the model, it does not change
when all logits are raised alike, which changes no probability. Of multi-label classification that is the logit
itself, both at the temperature of the model.
Of a bi-encoder it is the cosine similarity of a query and a document, which both are explained.
Of a generated text it is the mean log-probability of its tokens, each given the prompt and those before it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..data.features import IGNORE, Feature
from ..errors import UserError
from ..tasks.base import Task
from ..tasks.multi_label_classification import MultiLabelClassificationTask
from ..tasks.ner_tags import chunks, read_tags
from ..tasks.objective import at_least_fp32
from ..tasks.ranking import RankingTask
from ..tasks.regression import RegressionTask
from ..tasks.retrieval import RetrievalTask
from ..tasks.text_classification import TextClassificationTask
from ..tasks.token_classification import TokenClassificationTask
from ..tasks.token_scores import TokenScores, score_tokens

LOG_ODDS = "log-odds"
OfRows = Callable[[Tensor], Tensor]
"""From logits (n, features, ...) of n copies of an example to (n,)."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What the user wants explained; by default each prediction."""

    label: str | None = None
    word: int | None = None
    """Number of a word, from 1."""


@dataclass(frozen=True, slots=True)
class Target:
    """A number that is explained."""

    name: str
    """A label, a word with its tag, an entity with its type, or what the number is."""
    unit: str
    value: Callable[[Any, Tensor, int], Tensor]
    """From what the forward pass returns for n copies of the features, their labels, and n: (n,).

    With gradients, of generated texts the sum alone."""
    features: list[int]
    """Those features of the example that `value` reads."""
    probability: float | None = None


def log_odds(logits: Tensor, column: int) -> Tensor:
    """ln(p / (1 - p)) of a label's probability p under the softmax: (..., labels) → (...)."""
    others = torch.cat([logits[..., :column], logits[..., column + 1 :]], -1)
    return logits[..., column] - others.logsumexp(-1)


def require_explainable(task: Task[Any, Any], choice: Choice) -> None:
    """Raises UserError for a choice that does not fit the task."""
    kind = task.settings.type
    tagging = isinstance(task, TokenClassificationTask)
    if choice.word is not None and not tagging:
        raise UserError(f"--word: {kind} predicts no tag of a word: leave it out")
    labels: list[str] | None = getattr(task, "labels", None)
    if choice.label is None:
        return
    if labels is None:
        raise UserError(f"--label: {kind} has no labels: leave it out")
    if choice.label not in labels:
        raise UserError(f"--label: the model knows no '{choice.label}' ({', '.join(labels)}): name one of these")
    if tagging and choice.word is None:
        raise UserError("--label: is the tag of one word: choose the word with --word")


def targets_of(
    task: Task[Any, Any], example: Any, features: Sequence[Feature], logits: Tensor, labels: Tensor, choice: Choice
) -> list[Target]:
    """What to explain of an example: `choice`, or each prediction of the model. May be empty: no entity, for instance.

    `logits` (features, ...) and `labels` are those of its features. Raises UserError for a word that there is not.
    """
    [prediction] = task.predictions([example], features, task.decode(logits, labels))
    every = [*range(len(features))]
    match task:
        case TextClassificationTask():
            name = choice.label or prediction.label
            column = task.labels.index(name)
            probability = prediction.probabilities[column]
            value = _of_rows(lambda logits: log_odds(logits[:, 0] / task.temperature, column))
            return [Target(name, LOG_ODDS, value, every, probability)]
        case MultiLabelClassificationTask():
            columns = [column for column, name in enumerate(task.labels) if name in _labels(prediction, choice, task)]
            return [
                Target(
                    task.labels[column],
                    LOG_ODDS,
                    _of_rows(partial(_column, column=column, temperature=task.temperature)),
                    every,
                    prediction.probabilities[column],
                )
                for column in columns
            ]
        case RegressionTask():
            mean, deviation = task.standardization()
            return [Target("prediction", "", _of_rows(lambda logits: logits[:, 0, 0] * deviation + mean), every)]
        case RankingTask():
            return [Target("score", "", _of_rows(partial(_column, column=0)), every)]
        case RetrievalTask():
            return [Target("cosine similarity", "", _of_rows(lambda vectors: vectors.prod(1).sum(-1)), every)]
        case TokenClassificationTask():
            return _tags(task, example, features, prediction, choice)
    raise UserError(f"explain: says nothing of {task.settings.type}: write its target in explain/targets.py")


def generated_text(task: Task[Any, Any], text: str) -> Target:
    """The mean log-probability of a text's tokens, which are the labels of a single feature."""

    def value(output: Any, labels: Tensor, copies: int) -> Tensor:
        scores = output if isinstance(output, TokenScores) else score_tokens(*task.scored(output, labels))
        tokens = task.scored(labels[..., None], labels)[1].numel() // copies
        losses = scores.losses.unflatten(0, (copies, -1)).sum(1) if len(scores.losses) else scores.loss
        return -losses / tokens

    return Target(text, "log-probability per token", value, [0])


def _of_rows(value: OfRows) -> Callable[[Any, Tensor, int], Tensor]:
    return lambda logits, labels, copies: value(at_least_fp32(logits).unflatten(0, (copies, -1)))


def _column(logits: Tensor, column: int, temperature: float = 1.0) -> Tensor:
    return logits[:, 0, column] / temperature


def _labels(prediction: Any, choice: Choice, task: MultiLabelClassificationTask) -> list[str]:
    """The chosen label, or the predicted ones, or the likeliest where none is."""
    if choice.label is not None:
        return [choice.label]
    likeliest = max(range(len(task.labels)), key=prediction.probabilities.__getitem__)
    return prediction.labels or [task.labels[likeliest]]


def _tags(
    task: TokenClassificationTask, example: Any, features: Sequence[Feature], prediction: Any, choice: Choice
) -> list[Target]:
    """The tag of the chosen word, or each predicted entity: the mean over its words."""
    scored: dict[int, tuple[int, int]] = {}
    for number, feature in enumerate(features):
        positions = [position for position, label in enumerate(feature.labels) if label != IGNORE]
        scored |= {word: (number, position) for word, position in zip(feature.words, positions, strict=True)}
    if choice.word is not None:
        word, count = choice.word - 1, len(example.tokens)
        if not 0 <= word < count:
            raise UserError(f"--word {choice.word}: the text has {count} words: choose one from 1 to {count}")
        if word not in scored:
            raise UserError(f"--word {choice.word}: the tokenizer reads nothing of '{example.tokens[word]}'")
        tag = choice.label or prediction.tags[word]
        probability = prediction.probabilities[word] if tag == prediction.tags[word] else None
        return [_tagged(task, f"{tag}: {example.tokens[word]}", [(word, tag)], scored, probability)]
    if task.plain:
        raise UserError("explain: each word has a plain tag: choose a word with --word")
    tags = read_tags(prediction.tags, "prediction")
    found = []
    for first, last, label in chunks(tags):
        words = [word for word in range(first, last + 1) if word in scored]
        name = f"{label}: {' '.join(example.tokens[first : last + 1])}"
        probability = min(prediction.probabilities[first : last + 1])
        found.append(_tagged(task, name, [(word, tags[word]) for word in words], scored, probability))
    return found


def _tagged(
    task: TokenClassificationTask,
    name: str,
    tags: Sequence[tuple[int, str]],
    scored: dict[int, tuple[int, int]],
    probability: float | None,
) -> Target:
    """Words with a tag each."""
    used = sorted({scored[word][0] for word, _ in tags})
    parts = [(used.index(scored[word][0]), scored[word][1], task.labels.index(tag)) for word, tag in tags]

    def value(logits: Tensor) -> Tensor:
        of_words = [
            log_odds(logits[:, feature, position] / task.temperature, column) for feature, position, column in parts
        ]
        return torch.stack(of_words).mean(0)

    return Target(name, LOG_ODDS, _of_rows(value), used, probability)
