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


# What the expressions of a template raise: jinja2 itself, its call of raise_exception(), and Python's operators.
TEMPLATE_ERRORS = (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Example:
    """A dialogue and its place, file:line; the last message is the assistant's, where its reply is known."""

    messages: list[Message]
    place: str


class ChatTask(CausalLMTask[Example]):
    """Scored are the tokens of the assistant's messages, with the token that ends each."""

    def example(self, row: Row) -> Example:
        """A dialogue up to its last reply: nothing is learnt from what follows."""
        messages = _checked(row.values["messages"], row.place)
        replies = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
        return Example(messages[: replies[-1] + 1] if replies else messages, row.place)

    def unlabelled_example(self, row: Row) -> Example:
        """A dialogue without the reply at its end, if it has one: that is to be predicted."""
        messages = row.values["messages"]
        if isinstance(messages, list) and messages:
            while messages and _role(messages[-1]) == "assistant":
                messages = messages[:-1]
            if not messages:  # the assistant begins
                return Example([], row.place)
        return Example(_checked(messages, row.place), row.place)

    def row_of(self, text: str, text_pair: str | None) -> dict[str, Any]:
        return {name: [{"role": "user", "content": text}] for name, text in super().row_of(text, text_pair).items()}

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

    def read_tokenizer(self, tokenizer: Any) -> None:
        if tokenizer.chat_template is None:
            tokenizer.chat_template = PLAIN_TEMPLATE
        self.vocabulary, self.stop_tokens = len(tokenizer), _stop_tokens(tokenizer)

    def encode(self, examples: Sequence[Example], tokenizer: Any, max_length: int) -> Encoded:
        self.read_tokenizer(tokenizer)
        encoded = Encoded([])
        for number, example in enumerate(examples):
            features = [*self._features(number, example, tokenizer, max_length)]
            encoded.truncated += any(feature.length > max_length for feature in features)
            encoded.features += [_truncate(feature, max_length) for feature in features]
        return encoded

    def _features(self, number: int, example: Example, tokenizer: Any, max_length: int) -> Iterator[Feature]:
        """One for the dialogue; where the template changes earlier messages as more follow, one for each reply."""
        if not example.messages or example.messages[-1]["role"] != "assistant":  # a reply is to be generated
            ids = tokenizer(
                _prompt(tokenizer, example, len(example.messages)), add_special_tokens=False, verbose=False
            )["input_ids"]
            yield self.feature(number, ids, [IGNORE] * len(ids), ids[-self.prompt_limit(max_length) :])
            return
        replies = [i for i, message in enumerate(example.messages) if message["role"] == "assistant"]
        prompts = [_prompt(tokenizer, example, end) for end in replies]
        dialogues = [_rendered(tokenizer, example.messages[: end + 1], example.place) for end in replies]
        for prompt, dialogue in zip(prompts, dialogues, strict=True):
            if not dialogue.startswith(prompt):
                raise UserError(
                    f"{example.place}: the chat template of the model does not let a reply follow its prompt: "
                    f"choose another model, or give its tokenizer another template"
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

    def prompt_and_reference(self, example: Example) -> tuple[str, str]:
        *before, last = example.messages
        return " / ".join(f"{message['role']}: {message['content']}" for message in before), last["content"]


def _checked(messages: Any, place: str) -> list[Message]:
    """Messages with a known role and a text each. Raises UserError."""
    if isinstance(messages, list) and messages and all(map(_is_message, messages)):
        return messages
    raise UserError(
        f'{place}: messages must be a list such as [{{"role": "user", "content": "..."}}, '
        f'{{"role": "assistant", "content": "..."}}], with roles among {", ".join(ROLES)}'
    )


def _is_message(value: Any) -> bool:
    return _role(value) in ROLES and isinstance(value.get("content"), str)


def _role(message: Any) -> Any:
    return message.get("role") if isinstance(message, dict) else None


def _rendered(tokenizer: Any, messages: list[Message], place: str, *, replying: bool = False) -> str:
    """Messages in the template; `replying`: with the header that opens the assistant's reply. Raises UserError."""
    try:
        text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=replying)
    except TEMPLATE_ERRORS as error:
        raise UserError(
            f"{place}: the model's chat template does not take this dialogue ({_one_line(error)}): change its messages"
        ) from error
    return text


def _prompt(tokenizer: Any, example: Example, count: int) -> str:
    """What stands before a reply to the first `count` messages; to none if the assistant begins."""
    if count:
        return _rendered(tokenizer, example.messages[:count], example.place, replying=True)
    # A template opens a reply only behind a message: the header that it writes there is looked for at the beginning.
    asked = [{"role": "user", "content": "a"}]
    question, opened = (_rendered(tokenizer, asked, example.place, replying=replying) for replying in (False, True))
    header = opened.removeprefix(question)
    first = example.messages[:1] or [{"role": "assistant", "content": "b"}]
    before, found, _ = _rendered(tokenizer, first, example.place).partition(header or "\0")
    return before + header if found else header


def _stop_tokens(tokenizer: Any) -> list[int]:
    """The token that ends a text, and those with which the template ends a reply. Raises UserError."""
    dialogue = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    try:
        text = tokenizer.apply_chat_template(dialogue, tokenize=False)
        ending = tokenizer(text[text.rindex("b") + 1 :], add_special_tokens=False)["input_ids"]
    except TEMPLATE_ERRORS as error:
        raise UserError(
            f"model.name: the model's chat template does not take a question and a reply ({_one_line(error)}): "
            f"choose another model, or give its tokenizer another template"
        ) from error
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    return sorted({end_token(tokenizer), *(token for token in ending[:1] if token in special)})


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _truncate(feature: Feature, max_length: int) -> Feature:
    """Truncation keeps the end, where the last reply stands."""
    if feature.length > max_length:
        feature.inputs = {"input_ids": feature.inputs["input_ids"][-max_length:]}
        feature.labels = feature.labels[-max_length:]
        feature.scored_labels = sum(label != IGNORE for label in feature.labels[1:])
    return feature
