"""Preference tuning of a chat model by direct preference optimization (DPO, Rafailov et al. 2023).

The reward of a reply is beta times the log of how much likelier it is than under the reference, the model before the
training. Learnt is that of two replies to a prompt the chosen one has the higher reward:
loss = -log sigmoid(reward of the chosen one - reward of the rejected one).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..console import counted
from ..data.features import IGNORE, Encoded, Feature
from ..data.forms.dialogues import Message, read_messages, shown
from ..data.forms.preferences import PAIR, common_beginning, turns
from ..data.rows import Row
from ..errors import UserError
from .chat import ChatTask, read_dialogue, replies_of
from .chat_template import Dialogue
from .generative import Generated, sample_table
from .intervals import Array, ratio
from .reference import Reference
from .results import Scores, Summary, WrongPrediction
from .settings import Chat, Dpo
from .token_scores import TokenScores, token_losses


@dataclass(frozen=True, slots=True)
class Preference(Dialogue):
    """A pair of replies; `messages` are the prompt and the chosen one."""

    prompt: int = 0
    """Messages of the prompt."""
    rejected: tuple[Message, ...] = ()
    """The messages of the rejected reply."""

    @property
    def chosen(self) -> list[Message]:
        """The messages of the chosen reply."""
        return self.messages[self.prompt :]

    @property
    def sides(self) -> tuple[Dialogue, Dialogue]:
        """The prompt with the chosen and with the rejected reply."""
        rejected = [*self.messages[: self.prompt], *self.rejected]
        return Dialogue(self.messages, self.place, self.tools), Dialogue(rejected, self.place, self.tools)


@dataclass(frozen=True, slots=True)
class Judged(Generated):
    """A pair of replies as the model judges them; loss and tokens are those of the chosen reply."""

    rewards: tuple[float, float] = (0.0, 0.0)
    """Of the chosen and of the rejected reply."""
    is_measured: bool = True
    """Whether the rewards have a size, beside their order."""

    @property
    def margin(self) -> float:
        """How much higher the reward of the chosen reply is."""
        return self.rewards[0] - self.rewards[1]


class PreferenceTask(ChatTask):
    """Chat that learns from pairs of replies. Each pair has two features, the chosen reply before the rejected one.

    The first label of a row, whose token is never scored, holds the reference's log-probability of the reply.
    """

    error_measure = "probability"

    def __init__(self, settings: Chat, dpo: Dpo) -> None:
        super().__init__(settings)
        self.dpo = dpo
        self.reference: Reference | None = None
        """What the reference gives to the replies; None before it is computed."""

    # Preprocessing

    def example(self, row: Row) -> Preference:
        chosen, rejected = (_reply(row, name) for name in PAIR)
        messages = turns(row.values["messages"], "user")
        if {chosen[0]["role"], rejected[0]["role"]} != {"assistant"}:  # whole dialogues
            start = common_beginning(chosen, rejected)
            messages, chosen, rejected = chosen[:start], chosen[start:], rejected[start:]
            if not start or {chosen[0]["role"], rejected[0]["role"]} != {"assistant"}:
                raise UserError(
                    f"{row.place}: chosen and rejected are whole dialogues that differ before a reply of the "
                    f"assistant: let both begin with the same prompt"
                )
        prompt = _prompt(row, messages)
        if prompt.messages[-1]["role"] == "assistant":
            raise UserError(
                f"{row.place}: the prompt ends in a message of the assistant, to which no other reply belongs: let it "
                f"end in a message of the user"
            )
        for name, reply in zip(PAIR, (chosen, rejected), strict=True):
            if not replies_of(reply):
                raise UserError(f"{row.place}: {name} has no message to train on: add a reply, or take the row out")
        chosen, rejected = (reply[: replies_of(reply)[-1] + 1] for reply in (chosen, rejected))
        messages = [*prompt.messages, *chosen]
        return Preference(messages, prompt.place, prompt.tools, len(prompt.messages), tuple(rejected))

    def unlabelled_example(self, row: Row) -> Dialogue:
        """The prompt, to be answered."""
        return _prompt(row, turns(row.values["messages"], "user"), unanswered=True)

    def to_rows(self, example: Dialogue) -> list[dict[str, Any]]:
        [row] = super().to_rows(example)
        if isinstance(example, Preference):
            row |= {"messages": example.messages[: example.prompt]}
            row |= {"chosen": example.chosen, "rejected": [*example.rejected]}
        return [row]

    def texts(self, examples: Sequence[Dialogue]) -> Iterable[str]:
        for example in examples:
            yield from super().texts(example.sides if isinstance(example, Preference) else [example])

    def summary(self, example: Dialogue) -> Summary:
        """Which of two replies is the chosen one: so pairs that differ in that alone contradict each other."""
        assert isinstance(example, Preference)
        prompt = map(shown, example.messages[: example.prompt])
        chosen, rejected = _text(example.chosen), _text(example.rejected)
        return Summary((*prompt, *sorted((chosen, rejected))), chosen, undecided=chosen == rejected)

    def size(self, examples: Sequence[Dialogue]) -> str:
        return counted(len(examples), "pair")

    def encode(self, examples: Sequence[Dialogue], tokenizer: Any, max_length: int) -> Encoded:
        """Every pair counts once in a step. Raises UserError for a pair of which the reference is not known."""
        encoded = super().encode(examples, tokenizer, max_length)
        for number, feature in enumerate(encoded.features):
            example = examples[feature.example]
            if isinstance(example, Preference):
                is_chosen = number == 0 or encoded.features[number - 1].example != feature.example
                feature.scored_labels = int(is_chosen)
                feature.prompt = feature.prompt if is_chosen else []
                if self.reference is not None and feature not in self.reference:
                    raise UserError(
                        f"{example.place}: the run has no reference log-probabilities for this pair, because they are "
                        f"computed before the training: name the file as data.test, and train the run again"
                    )
        return encoded

    def dialogue_features(
        self, number: int, example: Dialogue, tokenizer: Any, max_length: int, first: int = 0
    ) -> Iterator[Feature]:
        if not isinstance(example, Preference):
            yield from super().dialogue_features(number, example, tokenizer, max_length, first)
            return
        for side in example.sides:
            feature, *others = super().dialogue_features(number, side, tokenizer, max_length, example.prompt)
            if others:
                raise UserError(
                    f"{example.place}: the model's chat template changes earlier replies as more messages follow: let "
                    f"chosen and rejected be one reply each, behind a longer prompt"
                )
            yield feature

    def save_files(self, folder: Path) -> None:
        if self.reference is not None:
            self.reference.write(folder)

    def load_files(self, folder: Path) -> None:
        self.reference = Reference.read(folder)

    # Training objective

    @property
    def group_by_example(self) -> bool:
        return True

    @property
    def scores_tokens(self) -> bool:
        return True

    def batch_labels(self, features: Sequence[Feature], length: int) -> Tensor:
        """(rows, tokens of the longest reply), in fp64, which holds tokens and log-probabilities."""
        labels = super().batch_labels(features, length).double()
        known = self.reference
        values = [math.nan if known is None else known.value(one) for one in features]
        labels[:, 0] = torch.tensor(values, dtype=torch.float64)
        return labels

    def scored(self, values: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        values, labels = super().scored(values, labels)
        return values, labels.long()

    def loss_of_tokens(self, labels: Tensor) -> Callable[[Tensor], Tensor]:
        return partial(self._loss, labels=labels)

    def loss(self, logits: Tensor | TokenScores, labels: Tensor) -> Tensor:
        if not isinstance(logits, TokenScores):
            return self._loss(token_losses(*self.scored(logits, labels)), labels)
        return self._loss(logits.losses, labels) if logits.losses.numel() else logits.loss

    def _loss(self, losses: Tensor, labels: Tensor) -> Tensor:
        """Summed over the pairs, from the cross-entropies of the scored tokens of all rows, (scored tokens,)."""
        counts = (labels[:, 1:] != IGNORE).sum(1).tolist()
        of_replies = torch.stack([part.sum() for part in losses.split(counts)])  # row by row: the same on each device
        return self._pair_losses(-of_replies - labels[:, 0].to(of_replies)).sum()

    def _pair_losses(self, log_ratios: Tensor) -> Tensor:
        """(pairs,): the loss of each, from the log-ratios to the reference of its two replies, (2 pairs,)."""
        difference = self.dpo.beta * (log_ratios[0::2] - log_ratios[1::2])
        wrong = self.dpo.label_smoothing
        return -(1 - wrong) * F.logsigmoid(difference) - wrong * F.logsigmoid(-difference)

    def unit_losses(self, logits: Tensor | TokenScores, labels: Tensor, units: Sequence[Sequence[int]]) -> Tensor:
        rows = self.decode(logits, labels)
        ratios = [-rows[row][0] - rows[row][3] for unit in units for row in unit]
        return self._pair_losses(torch.tensor(ratios, dtype=torch.float64))

    # Evaluation

    def decode(self, logits: Tensor | TokenScores, labels: Tensor) -> list[Any]:
        """Loss, scored tokens and correct tokens of each row, and the reference's log-probability."""
        rows = super().decode(logits, labels)
        return [(*row, reference) for row, reference in zip(rows, labels[:, 0].tolist(), strict=True)]

    def predictions(
        self, examples: Sequence[Dialogue], features: Sequence[Feature], decoded: Sequence[Any]
    ) -> list[Generated]:
        if not (examples and isinstance(examples[0], Preference)):
            return super().predictions(examples, features, decoded)
        found: list[Generated] = []
        for (chosen, text), (rejected, _) in zip(decoded[0::2], decoded[1::2], strict=True):
            if chosen is None:  # only a text was generated
                found.append(Judged(text=text))
                continue
            rewards = [self.dpo.beta * (-loss - reference) for loss, _, _, reference in (chosen, rejected)]
            loss, scored, correct, _ = chosen
            found.append(Judged(loss, scored, correct, text, (rewards[0], rewards[1])))
        return found

    def score(self, examples: Sequence[Dialogue], predictions: Sequence[Generated]) -> Scores:
        judged = [one for one in predictions if isinstance(one, Judged)]
        metrics = {"preference_accuracy": float(np.mean([one.margin > 0 for one in judged]))}
        if all(one.is_measured for one in judged):
            chosen, rejected = np.array([one.rewards for one in judged]).mean(0).tolist()
            metrics |= {"reward_margin": chosen - rejected, "chosen_reward": chosen, "rejected_reward": rejected}
        rows = [
            [self.prompt_and_reference(example)[0], *_replies(example), prediction.text]
            for example, prediction in zip(examples, predictions, strict=True)
            if prediction.text is not None
        ]
        return Scores(metrics, sample_table(["prompt", "chosen", "rejected", "generated"], rows))

    def contributions(self, examples: Sequence[Dialogue], predictions: Sequence[Generated]) -> Array:
        """Of each pair whether it is in the right order, and 1."""
        return np.array([[one.margin > 0, 1] for one in predictions if isinstance(one, Judged)], dtype=float)

    def headline(self, sums: Array) -> Array:
        """Preference accuracy."""
        return ratio(sums[..., 0], sums[..., 1])

    def baselines(self, examples: Sequence[Dialogue], features: Sequence[Feature]) -> dict[str, list[Generated]]:
        """The reference prefers what it gives the higher probability."""
        lengths = [tuple(map(len, _replies(example))) for example in examples]
        found = {"the longer reply": [_ordered(*pair) for pair in lengths]}
        if self.reference is not None:
            known = [self.reference.value(feature) for feature in features]
            found["the reference model"] = [_ordered(*pair) for pair in zip(known[0::2], known[1::2], strict=True)]
        return found

    def errors(self, examples: Sequence[Dialogue], predictions: Sequence[Generated]) -> list[WrongPrediction]:
        """The pairs of which the model prefers the rejected reply, with the probability that it is the better one."""
        return [
            WrongPrediction(
                row, self.prompt_and_reference(example)[0], *_replies(example), 1 / (1 + math.exp(one.margin))
            )
            for row, (example, one) in enumerate(zip(examples, predictions, strict=True))
            if isinstance(one, Judged) and one.margin <= 0
        ]

    def prompt_and_reference(self, example: Dialogue) -> tuple[str, str]:
        if not isinstance(example, Preference):
            return super().prompt_and_reference(example)
        prompt = example.messages[: example.prompt]
        return " / ".join(f"{message['role']}: {shown(message)}" for message in prompt), _text(example.chosen)


def _reply(row: Row, name: str) -> list[Message]:
    return read_messages(turns(row.values[name], "assistant"), f"{row.place}: {name}")


def _prompt(row: Row, messages: Any, *, unanswered: bool = False) -> Dialogue:
    return read_dialogue(replace(row, values={**row.values, "messages": messages}), unanswered=unanswered)


def _text(messages: Sequence[Message]) -> str:
    return "\n".join(map(shown, messages))


def _replies(example: Dialogue) -> tuple[str, str]:
    """The chosen and the rejected reply as texts."""
    assert isinstance(example, Preference)
    return _text(example.chosen), _text(example.rejected)


def _ordered(chosen: float, rejected: float) -> Generated:
    """An order without rewards."""
    return Judged(rewards=(chosen, rejected), is_measured=False)
