"""Chat (instruction tuning): the assistant's replies in a dialogue, in the form of the model's chat template."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..console import notice
from ..data.features import IGNORE, Encoded, Feature
from ..data.forms.dialogues import Message, read_messages, read_tools, shown
from ..data.rows import Row
from ..errors import UserError
from .causal_lm import CausalLMTask
from .chat_template import (
    PLAIN_TEMPLATE,
    Dialogue,
    for_template,
    is_hidden,
    parts_of,
    prompt_of,
    rendered,
    stop_tokens,
    without_system,
)
from .results import Summary
from .settings import Chat


class ChatTask(CausalLMTask[Dialogue]):
    """Scored are the tokens of the assistant's messages, tool calls included, with the token that ends each."""

    def __init__(self, settings: Chat) -> None:
        super().__init__(settings)
        self.seen_parts: set[str] = set()

    def example(self, row: Row) -> Dialogue:
        """A dialogue up to its last reply to train on: nothing is learnt from what follows."""
        dialogue = read_dialogue(row)
        replies = replies_of(dialogue.messages)
        if not replies:
            raise UserError(f"{row.place}: the assistant has no message to train on: add a reply, or take the row out")
        return dialogue.until(replies[-1] + 1)

    def unlabelled_example(self, row: Row) -> Dialogue:
        """A dialogue without the reply at its end, if it has one: that is to be predicted."""
        return read_dialogue(row, unanswered=True)

    def row_of(self, text: str, text_pair: str | None) -> dict[str, Any]:
        if text_pair is not None:
            raise UserError("--text: the model reads single texts: leave out --text-pair")
        return {"messages": [{"role": "user", "content": text}]}

    def to_rows(self, example: Dialogue) -> list[dict[str, Any]]:
        return [{"messages": example.messages, **({"tools": [*example.tools]} if example.tools else {})}]

    def texts(self, examples: Sequence[Dialogue]) -> Iterable[str]:
        for example in examples:
            yield "\n".join(f"{message['role'].capitalize()}: {shown(message)}" for message in example.messages)

    def summary(self, example: Dialogue) -> Summary:
        *before, last = map(shown, example.messages)
        return Summary(tuple(before) or (last,), last, generates=True)

    def read_tokenizer(self, tokenizer: Any) -> None:
        if tokenizer.chat_template is None:
            tokenizer.chat_template = PLAIN_TEMPLATE
        self.vocabulary, self.stop_tokens = len(tokenizer), stop_tokens(tokenizer)

    def encode(self, examples: Sequence[Dialogue], tokenizer: Any, max_length: int) -> Encoded:
        self.read_tokenizer(tokenizer)
        encoded = Encoded([])
        for number, example in enumerate(examples):
            example = for_template(example, tokenizer)
            features = [*self.dialogue_features(number, example, tokenizer, max_length)]
            self._tell_hidden(example, tokenizer)
            encoded.truncated += any(feature.length > max_length for feature in features)
            encoded.features += [_truncate(feature, max_length) for feature in features]
        return encoded

    def _tell_hidden(self, example: Dialogue, tokenizer: Any) -> None:
        """Say what the template does not show, by the first dialogue that has it."""
        for part in dict.fromkeys(parts_of(example)):
            if part in self.seen_parts:
                continue
            self.seen_parts.add(part)
            if is_hidden(tokenizer, example, part):
                notice(
                    f"{example.place}: the model's chat template does not show {part}, so the model does not read "
                    f"them: choose a model whose template does, or give its tokenizer another template"
                )

    def dialogue_features(
        self, number: int, example: Dialogue, tokenizer: Any, max_length: int, first: int = 0
    ) -> Iterator[Feature]:
        """One for the dialogue; where the template changes earlier messages as more follow, one for each reply.

        Scored are the replies from the message `first` on.
        """
        if not example.messages or example.messages[-1]["role"] != "assistant":  # a reply is to be generated
            ids = tokenizer(prompt_of(tokenizer, example), add_special_tokens=False, verbose=False)["input_ids"]
            yield self.feature(number, ids, [IGNORE] * len(ids), ids[-self.prompt_limit(max_length) :])
            return
        replies = [end for end in replies_of(example.messages) if end >= first]
        prompts, dialogues = _texts(tokenizer, example, replies)
        if not _follow(prompts, dialogues):
            remedy = "choose another model, or give its tokenizer another template"
            others = without_system(example)
            if others and _follow(*_texts(tokenizer, others, replies_of(others.messages))):
                remedy = "put the text of the system message before the first message of the user"
            raise UserError(
                f"{example.place}: the chat template of the model does not let a reply follow its prompt: {remedy}"
            )
        spans = [(len(prompt), len(dialogue.rstrip())) for prompt, dialogue in zip(prompts, dialogues, strict=True)]
        if all(dialogues[-1].startswith(dialogue.rstrip()) for dialogue in dialogues):
            yield self._scored(number, dialogues[-1], spans, tokenizer, max_length)
            return
        for dialogue, span in zip(dialogues, spans, strict=True):
            yield self._scored(number, dialogue, [span], tokenizer, max_length)

    def _scored(self, number: int, text: str, spans: list[tuple[int, int]], tokenizer: Any, max_length: int) -> Feature:
        """A rendered dialogue in which the characters of `spans` are scored."""
        tokens = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        ids = tokens["input_ids"]
        scored = [
            any(start <= left and right <= end for start, end in spans) and left < right
            for left, right in tokens["offset_mapping"]
        ]
        labels = [token if is_scored else IGNORE for token, is_scored in zip(ids, scored, strict=True)]
        before = sum(left < spans[-1][0] for left, _ in tokens["offset_mapping"])
        return self.feature(number, ids, labels, ids[max(0, before - self.prompt_limit(max_length)) : before])

    def prompt_and_reference(self, example: Dialogue) -> tuple[str, str]:
        *before, last = example.messages
        return " / ".join(f"{message['role']}: {shown(message)}" for message in before), shown(last)


def read_dialogue(row: Row, *, unanswered: bool = False) -> Dialogue:
    """The messages, after the system prompt of the column system. Raises UserError."""
    messages = read_messages(row.values["messages"], row.place, unanswered=unanswered)
    system = row.values.get("system")
    if system is not None and not isinstance(system, str):
        raise UserError(f"{row.place}: system is {system!r}: write it as a string")
    if system and system.strip() and not (messages and messages[0]["role"] in ("system", "developer")):
        messages = [{"role": "system", "content": system}, *messages]
    return Dialogue(messages, row.place, tuple(read_tools(row.values.get("tools"), row.place)))


def replies_of(messages: Sequence[Message]) -> list[int]:
    """The numbers of the assistant's messages without those of weight 0, which are not trained on."""
    return [i for i, message in enumerate(messages) if message["role"] == "assistant" and message.get("weight") != 0]


def _texts(tokenizer: Any, example: Dialogue, replies: Sequence[int]) -> tuple[list[str], list[str]]:
    """What stands before each reply, and the dialogue up to its end."""
    prompts = [prompt_of(tokenizer, example.until(end)) for end in replies]
    return prompts, [rendered(tokenizer, example.until(end + 1)) for end in replies]


def _follow(prompts: Sequence[str], dialogues: Sequence[str]) -> bool:
    return all(dialogue.startswith(prompt) for prompt, dialogue in zip(prompts, dialogues, strict=True))


def _truncate(feature: Feature, max_length: int) -> Feature:
    """Truncation keeps the end, where the last reply stands."""
    if feature.length > max_length:
        feature.inputs = {"input_ids": feature.inputs["input_ids"][-max_length:]}
        feature.labels = feature.labels[-max_length:]
        feature.scored_labels = sum(label != IGNORE for label in feature.labels[1:])
    return feature
