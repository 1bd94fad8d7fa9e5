"""Chat templates: dialogues as the text that a model was made for, and what of them a template does not show."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..data.forms.dialogues import Message
from ..errors import UserError
from ..parsing import reason
from ..time_limit import time_limit
from .generative import end_token
from .template_limits import LimitedEnvironment
from .tool_ids import with_short_ids

PLAIN_TEMPLATE = (
    "{% if tools %}Tools: {{ tools | tojson }}\n{% endif %}"
    "{% for message in messages %}{{ message['role'] | capitalize }}: {{ message['content'] }}"
    "{% if message['tool_calls'] %}{{ message['tool_calls'] | map(attribute='function') | list | tojson }}{% endif %}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""For models that were not made for dialogues. It needs no token that such a model does not know."""


SECONDS = 2.0
"""In which a template must have shown a dialogue: it comes with the model, and may have an endless loop."""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Messages and tools, and their place, file:line; the last message is the assistant's, where its reply is known."""

    messages: list[Message]
    place: str
    tools: tuple[dict[str, Any], ...] = ()

    def until(self, end: int) -> "Dialogue":
        """The first `end` messages."""
        return replace(self, messages=self.messages[:end])


def for_template(dialogue: Dialogue, tokenizer: Any) -> Dialogue:
    """The role developer as system, which it replaces in OpenAI's newer models, where the template does not know it."""
    roles = {message["role"] for message in dialogue.messages}
    if "developer" not in roles or "developer" in tokenizer.get_chat_template(tools=[*dialogue.tools] or None):
        return dialogue
    renamed = {"developer": "system"}
    messages = [{**message, "role": renamed.get(message["role"], message["role"])} for message in dialogue.messages]
    return replace(dialogue, messages=messages)


def apply_template(tokenizer: Any, messages: list[Message], **options: Any) -> str:
    """The text that the model's chat template makes. Raises whatever that raises, and TimeoutError after SECONDS."""
    from transformers.utils import chat_template_utils

    # Templates are compiled once, at their first use, in the environment that this module names.
    chat_template_utils.ImmutableSandboxedEnvironment = LimitedEnvironment  # type: ignore[attr-defined]
    with time_limit(SECONDS):
        return str(tokenizer.apply_chat_template(messages, **options))


def rendered(tokenizer: Any, dialogue: Dialogue, *, replying: bool = False) -> str:
    """A dialogue as text; `replying`: with the header that opens the assistant's reply. Raises UserError."""
    options = {"tools": [*dialogue.tools] or None, "tokenize": False, "add_generation_prompt": replying}
    messages, refusal = dialogue.messages, None
    for written in (messages, *_otherwise_written(messages)):
        try:
            return apply_template(tokenizer, written, **options)
        except Exception as error:  # the template raises what it likes
            refusal = refusal or error
            if isinstance(error, TimeoutError):
                break
    assert refusal
    raise UserError(
        f"{dialogue.place}: the model's chat template does not take this dialogue ({_one_line(refusal)}): "
        f"change its messages{_remedy(tokenizer, dialogue)}"
    ) from refusal


def _otherwise_written(messages: list[Message]) -> Iterator[list[Message]]:
    """Tool calls as some templates demand them: arguments as a text (DeepSeek), short identifiers (Mistral)."""
    if any("tool_calls" in message for message in messages):
        yield [*map(_with_text_arguments, messages)]
        yield with_short_ids(messages)


def _remedy(tokenizer: Any, dialogue: Dialogue) -> str:
    """How to change the messages of a dialogue that the template refuses for some of them; else empty."""
    if (others := without_system(dialogue)) and _is_taken(tokenizer, others):
        return (
            ", for it takes them without the system message: put that text before the first message of the user, or "
            "choose a model with system messages"
        )
    others = replace(dialogue, messages=[*filter(_is_spoken, dialogue.messages)])
    if 0 < len(others.messages) < len(dialogue.messages) and _is_taken(tokenizer, others):
        return ", for it takes them without their tool calls and results, or choose a model whose template takes these"
    return ""


def without_system(dialogue: Dialogue) -> Dialogue | None:
    """A dialogue without its system messages; None if it has none, or nothing else."""
    others = [message for message in dialogue.messages if message["role"] not in ("system", "developer")]
    return replace(dialogue, messages=others) if 0 < len(others) < len(dialogue.messages) else None


def _is_spoken(message: Message) -> bool:
    return message["role"] != "tool" and "tool_calls" not in message


def _is_taken(tokenizer: Any, dialogue: Dialogue) -> bool:
    try:
        rendered(tokenizer, dialogue)
    except UserError:
        return False
    return True


def prompt_of(tokenizer: Any, dialogue: Dialogue) -> str:
    """What stands before a reply to a dialogue, also to one without messages: then the assistant begins."""
    if dialogue.messages:
        return rendered(tokenizer, dialogue, replying=True)
    # A template opens a reply only behind a message: the header that it writes there is looked for at the beginning.
    asked, first = (
        replace(dialogue, messages=[{"role": role, "content": content}])
        for role, content in (("user", "a"), ("assistant", "b"))
    )
    header = rendered(tokenizer, asked, replying=True).removeprefix(rendered(tokenizer, asked))
    before, found, _ = rendered(tokenizer, first).partition(header or "\0")
    return before + header if found else header


def stop_tokens(tokenizer: Any) -> list[int]:
    """The token that ends a text, and those with which the template ends a reply. Raises UserError."""
    dialogue = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    try:
        text = apply_template(tokenizer, dialogue, tokenize=False)
        ending = tokenizer(text[text.rindex("b") + 1 :], add_special_tokens=False)["input_ids"]
    except Exception as error:  # the template raises what it likes
        raise UserError(
            f"model.name: the model's chat template does not take a question and a reply ({_one_line(error)}): "
            f"choose another model, or give its tokenizer another template"
        ) from error
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    return sorted({end_token(tokenizer), *(token for token in ending[:1] if token in special)})


def is_hidden(tokenizer: Any, dialogue: Dialogue, part: str) -> bool:
    """Whether the template does not show a part of a dialogue: with other words in it, the text is the same."""
    changed = replace(
        dialogue,
        messages=[_changed(message, part) for message in dialogue.messages],
        tools=tuple(_renamed(tool) for tool in dialogue.tools) if part == "tools" else dialogue.tools,
    )
    try:
        return rendered(tokenizer, changed) == rendered(tokenizer, dialogue)
    except UserError:  # it is looked at
        return False


def parts_of(dialogue: Dialogue) -> Iterator[str]:
    """What a template may show or not: tools, tool calls, messages of a role."""
    if dialogue.tools:
        yield "tools"
    for message in dialogue.messages:
        if "tool_calls" in message:
            yield "tool calls"
        if message["content"].strip():
            yield f"messages of the role {message['role']}"


def _changed(message: Message, part: str) -> Message:
    if part == "tool calls" and "tool_calls" in message:
        return {**message, "tool_calls": [_renamed(call) for call in message["tool_calls"]]}
    if part.endswith(f" role {message['role']}"):
        return {**message, "content": f"{message['content']} x"}
    return message


def _renamed(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool, or a call of it, under another name."""
    return {**tool, "function": {**tool["function"], "name": f"{tool['function']['name']}x"}}


def _with_text_arguments(message: Message) -> Message:
    if "tool_calls" not in message:
        return message
    calls = [
        {
            **call,
            "function": {
                **call["function"],
                "arguments": json.dumps(call["function"]["arguments"], ensure_ascii=False),
            },
        }
        for call in message["tool_calls"]
    ]
    return {**message, "tool_calls": calls}


def _one_line(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"it takes more than {SECONDS:g} s"
    return " ".join(str(error).split()) or reason(error)
