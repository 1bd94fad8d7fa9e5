"""Preference pairs as TRL has them: a prompt and two replies, or two whole dialogues with a common beginning."""

from typing import Any

from ...errors import UserError
from ..cells import list_in_cell
from .form import Form, Object

PAIR = ("chosen", "rejected")


def preference_forms() -> tuple[Form, ...]:
    """A prompt beside its replies, which may be a text or messages; a prompt of messages also by itself."""
    return (
        Form("preference pairs (columns prompt, chosen, rejected)", _is_pair, _with_messages, is_said=False),
        Form("prompts (column prompt)", _is_prompt, _with_messages, is_said=False),
    )


def turns(value: Any, role: str) -> Any:
    """The messages that a text is, one of the role, or that it holds as JSON in a cell of a table; else the value."""
    if not isinstance(value, str):
        return value
    messages = list_in_cell(value)
    if messages and all(isinstance(message, dict) and {"role", "from"} & message.keys() for message in messages):
        return messages
    return [{"role": role, "content": value}]


def common_beginning(chosen: list[Any], rejected: list[Any]) -> int:
    """How many messages two whole dialogues begin with alike; each has at least one more."""
    most = min(len(chosen), len(rejected)) - 1
    return next((number for number in range(most) if chosen[number] != rejected[number]), max(0, most))


def _is_pair(value: Object) -> bool:
    return "messages" not in value and all(name in value for name in PAIR)


def _is_prompt(value: Object) -> bool:
    has_reply = any(name in value for name in PAIR)
    return "messages" not in value and "prompt" in value and (has_reply or isinstance(value["prompt"], list))


def _with_messages(value: Object, place: str) -> dict[str, Any]:
    if value.get("prompt") is not None:
        return {**value, "messages": turns(value["prompt"], "user")}
    chosen, rejected = (turns(value.get(name), "assistant") for name in PAIR)
    if not (isinstance(chosen, list) and isinstance(rejected, list)):
        raise UserError(f"{place}: no prompt: add the column prompt, or write chosen and rejected as whole dialogues")
    return {**value, "messages": chosen[: common_beginning(chosen, rejected)]}
