"""Chat (instruction tuning): the assistant's replies in a dialogue, in the form of the model's chat template."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from ..data.features import IGNORE, Encoded, Feature
from ..data.rows import Row
from ..errors import UserError
from .causal_lm import CausalLMTask
from .generative import end_token
from .results import Summary

ROLES = ("system", "user", "assistant", "tool")
Message = dict[str, str]
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | capitalize }}: {{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""For models that were not made for dialogues. It needs no token that such a model does not know."""


@dataclass(frozen=True, slots=True)
class Example:
    """A dialogue and its place, file:line; the last message is the assistant's, where its reply is known."""

    messages: list[Message]
    place: str


class ChatTask(CausalLMTask[Example]):
    """Scored are the tokens of the assistant's messages, with the token that ends each."""

    def example(self, row: Row) -> Example:
        messages = row.values["messages"]
        if not isinstance(messages, list) or not messages or not all(map(_is_message, messages)):
            raise UserError(
                f'{row.place}: messages must be a list such as [{{"role": "user", "content": "..."}}, '
                f'{{"role": "assistant", "content": "..."}}], with roles among {", ".join(ROLES)}'
            )
        return Example(messages, row.place)

    def row_of(self, text: str, text_pair: str | None) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": text}]}

    def to_rows(self, example: Example) -> list[dict[str, Any]]:
        return [{"messages": example.messages}]

    def fit(self, examples: Sequence[Example]) -> None:
        """There are no labels, but each dialogue must have something to train on."""
        for example in examples:
            if not any(message["role"] == "assistant" for message in example.messages):
                raise UserError(f"{example.place}: the assistant has no message: add a reply, or take the row out")

    def texts(self, examples: Sequence[Example]) -> Iterable[str]:
        for example in examples:
            yield "\n".join(f"{message['role'].capitalize()}: {message['content']}" for message in example.messages)

    def summary(self, example: Example) -> Summary:
        *before, last = (message["content"] for message in example.messages)
        return Summary(tuple(before) or (last,), last, generates=True)

    def encode(self, examples: Sequence[Example], tokenizer: Any, max_length: int) -> Encoded:
        if tokenizer.chat_template is None:
            tokenizer.chat_template = PLAIN_TEMPLATE
        self.vocabulary, self.stop_tokens = len(tokenizer), _stop_tokens(tokenizer)
        encoded = Encoded([])
        for number, example in enumerate(examples):
            features = [*self._features(number, example, tokenizer, max_length)]
            encoded.truncated += any(feature.length > max_length for feature in features)
            encoded.features += [_truncate(feature, max_length) for feature in features]
        return encoded

    def _features(self, number: int, example: Example, tokenizer: Any, max_length: int) -> Iterator[Feature]:
        """One for the dialogue; where the template changes earlier messages as more follow, one for each reply."""
        replies = [i for i, message in enumerate(example.messages) if message["role"] == "assistant"]
        prompts = [_rendered(tokenizer, example, end, True) for end in replies]
        dialogues = [_rendered(tokenizer, example, end + 1, False) for end in replies]
        for prompt, dialogue in zip(prompts, dialogues, strict=True):
            if not dialogue.startswith(prompt):
                raise UserError(
                    f"{example.place}: the chat template of the model does not let a reply follow its prompt: "
                    f"choose another model, or give its tokenizer another template"
                )
        if example.messages[-1]["role"] != "assistant":  # a reply is to be generated
            open_end = _rendered(tokenizer, example, len(example.messages), True)
            ids = tokenizer(open_end, add_special_tokens=False, verbose=False)["input_ids"]
            yield self.feature(number, ids, [IGNORE] * len(ids), ids[-self.prompt_limit(max_length) :])
            return
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

    def prompt_and_reference(self, example: Example) -> tuple[str, str]:
        *before, last = example.messages
        return " / ".join(f"{message['role']}: {message['content']}" for message in before), last["content"]


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and value.get("role") in ROLES and isinstance(value.get("content"), str)


def _rendered(tokenizer: Any, example: Example, count: int, replying: bool) -> str:
    """The first `count` messages in the template; `replying`: with the header that opens the assistant's reply."""
    try:
        text: str = tokenizer.apply_chat_template(
            example.messages[:count], tokenize=False, add_generation_prompt=replying
        )
    except TemplateError as error:
        raise UserError(
            f"{example.place}: the model's chat template does not take this dialogue ({error}): change its messages"
        ) from error
    return text


def _stop_tokens(tokenizer: Any) -> list[int]:
    """The token that ends a text, and those with which the template ends a reply."""
    dialogue = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    text = tokenizer.apply_chat_template(dialogue, tokenize=False)
    ending = tokenizer(text[text.rindex("b") + 1 :], add_special_tokens=False)["input_ids"]
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    return sorted({end_token(tokenizer), *(token for token in ending[:1] if token in special)})


def _truncate(feature: Feature, max_length: int) -> Feature:
    """Truncation keeps the end, where the last reply stands."""
    if feature.length > max_length:
        feature.inputs = {"input_ids": feature.inputs["input_ids"][-max_length:]}
        feature.labels = feature.labels[-max_length:]
        feature.scored_labels = sum(label != IGNORE for label in feature.labels[1:])
    return feature
