"""Dialogues as people have them, as messages of one form: that of OpenAI, which chat templates read.

A message is `{"role": ..., "content": text}`, an assistant's may have `tool_calls`; other members stay as they are.
"""

import json
from functools import partial
from typing import Any

from ...errors import UserError
from ..cells import decoded
from .form import Form, Object

Message = dict[str, Any]
ROLES = ("system", "developer", "user", "assistant", "tool")
ALIASES = {
    "human": "user",
    **dict.fromkeys(("gpt", "chatgpt", "bing", "bard", "bot", "ai", "model"), "assistant"),
    **dict.fromkeys(("function", "observation", "function_response", "tool_response"), "tool"),
    **dict.fromkeys(("function_call", "tool_call"), "assistant"),
}
"""Other names of the roles."""
CALLING = ("function_call", "tool_call")
"""Roles of ShareGPT whose text is a tool call of the assistant."""
TURNS = (
    *(("human", "assistant"), ("user", "assistant"), ("question", "answer")),
    *(("prompt", "response"), ("instruction", "output"), ("input", "output")),
)
"""Names of the two texts in lists that hold a question and its answer in one object."""
TEXT_PARTS = ("text", "input_text", "output_text")
NAMES = ("messages", "conversations", "conversation", "dialogue", "dialog")
"""Usual names of the column with the messages."""
BESIDE = {"system": "system_prompt", "tools": "functions"}
"""Other names of the task's columns beside the messages."""
EXAMPLE = '[{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]'


def read_messages(value: Any, place: str, *, unanswered: bool = False) -> list[Message]:
    """The messages of a dialogue, which may be JSON in a cell of a table, in the form of OpenAI.

    With `unanswered`, the assistant's messages at the end are left out unread. Raises UserError with the place in file
    and dialogue.
    """
    items = decoded(value, f"{place}: messages")
    if not isinstance(items, list) or not items:
        raise UserError(f"{place}: messages must be a list such as {EXAMPLE}")
    turns = [turn for number, item in enumerate(items) for turn in _turns(item, f"{place}: messages[{number}]")]
    while unanswered and turns and _role(*turns[-1]) == "assistant":
        turns.pop()
    return [_message(turn, at) for turn, at in turns]


def read_tools(value: Any, place: str) -> list[dict[str, Any]]:
    """The tools of a dialogue: JSON schemas of functions in the form of OpenAI; an empty list if there are none."""
    tools = decoded(value, f"{place}: tools") or []
    if not isinstance(tools, list):
        raise UserError(f"{place}: tools must be a list of JSON schemas such as {_tool_example()}")
    return [_tool(tool, f"{place}: tools[{number}]") for number, tool in enumerate(tools)]


def dialogue_forms() -> tuple[Form, ...]:
    """ShareGPT and others: the messages under another name than `messages`, or the columns beside them."""
    return tuple(
        Form(
            "a dialogue with " + " and ".join(BESIDE.values()) if name == "messages" else f"ShareGPT (column {name})",
            partial(_is_dialogue, name),
            partial(_as_dialogue, name),
        )
        for name in NAMES
    )


def _is_dialogue(name: str, value: Object) -> bool:
    if name == "messages":
        return name in value and any(other in value for other in BESIDE.values())
    return "messages" not in value and (isinstance(value.get(name), list) or str(value.get(name)).startswith("["))


def _as_dialogue(name: str, value: Object, place: str) -> dict[str, Any]:
    beside = {own: value[other] for own, other in BESIDE.items() if other in value and own not in value}
    return {**value, **beside, "messages": value.get(name)}


def shown(message: Message) -> str:
    """A message without its role as a text; tool calls as JSON."""
    calls = [json.dumps(call["function"], ensure_ascii=False) for call in message.get("tool_calls", ())]
    return "\n".join([text for text in [message["content"]] if text] + calls)


def _turns(item: Any, at: str) -> list[tuple[dict[str, Any], str]]:
    """The messages in an element of the list, each with its place: one, or a question and its answer."""
    if isinstance(item, list) and len(item) == 2:
        item = dict(zip(TURNS[0], item, strict=True))
    if not isinstance(item, dict):
        raise UserError(f"{at} is {_brief(item)}: write the messages as {EXAMPLE}")
    if "role" in item or "from" in item:
        return [(item, at)]
    for question, answer in TURNS:
        if question in item:
            pair = {"user": item[question], "assistant": item.get(answer)}
            return [({"role": role, "content": text}, at) for role, text in pair.items() if text is not None]
    raise UserError(f"{at} has no role (found: {', '.join(map(str, item))}): write the messages as {EXAMPLE}")


def _role_as_given(item: dict[str, Any]) -> Any:
    given = item.get("role") or item.get("from")
    return given.strip().lower() if isinstance(given, str) else given


def _role(item: dict[str, Any], at: str) -> str:
    given = _role_as_given(item)
    role = ALIASES.get(given, given) if isinstance(given, str) else None
    if role not in ROLES:
        raise UserError(f"{at}: the role is {_brief(given)}: write one of {', '.join(ROLES)}")
    return role


def _message(item: dict[str, Any], at: str) -> Message:
    role = _role(item, at)
    names = [name for name in ("content", "value", "text") if name in item]
    content = next((item[name] for name in names if item[name] is not None), None)
    rest = {name: value for name, value in item.items() if name not in ("role", "from", *names) and value is not None}
    calls = decoded(rest.pop("tool_calls", None), f"{at}.tool_calls") or []
    if function := rest.pop("function_call", None):  # as OpenAI had it before tools
        calls = [function]
    if _role_as_given(item) in CALLING:
        called = decoded(content, at)
        calls, content = called if isinstance(called, list) else [called], None
    if calls and (role != "assistant" or not isinstance(calls, list)):
        raise UserError(f"{at}.tool_calls must be a list, in a message of the assistant: correct it")
    if rest.get("weight", 1) not in (0, 1):
        raise UserError(f"{at}.weight is {_brief(rest['weight'])}: write 1, or 0 for a reply that is not trained on")
    message = {"role": role, "content": _content(content, role, at, may_be_empty=bool(calls)), **rest}
    if calls:
        message["tool_calls"] = [_call(call, f"{at}.tool_calls[{number}]") for number, call in enumerate(calls)]
    return message


def _content(content: Any, role: str, at: str, *, may_be_empty: bool) -> str:
    """The text of a message, also of a list of parts. Raises UserError if there is none."""
    if isinstance(content, list) and all(isinstance(part, str) or _is_part(part, role) for part in content):
        content = "".join(_part(part, f"{at}.content[{number}]") for number, part in enumerate(content))
    if role == "tool" and isinstance(content, dict | list):  # what a tool returns may be any JSON
        content = json.dumps(content, ensure_ascii=False)
    if content is None and may_be_empty:
        return ""
    if content is not None and not isinstance(content, str):
        raise UserError(f"{at}: the content is {_brief(content)}: write it as a string")
    if not (content or "").strip() and role in ("user", "assistant") and not may_be_empty:
        raise UserError(f"{at}: the content is empty: fill it in, or take the row out")
    return content or ""


def _is_part(part: Any, role: str) -> bool:
    kind = part.get("type") if isinstance(part, dict) else None
    return isinstance(kind, str) and (role != "tool" or kind in TEXT_PARTS)


def _part(part: Any, at: str) -> str:
    if isinstance(part, str):
        return part
    if part["type"] not in TEXT_PARTS:
        raise UserError(f"{at} has the type {part['type']}, but only text is read: take the row out, or this part")
    if not isinstance(part.get("text"), str):
        raise UserError(f"{at}.text is {_brief(part.get('text'))}: write it as a string")
    return str(part["text"])


def _call(call: Any, at: str) -> dict[str, Any]:
    """A tool call, with arguments as an object: so templates read them."""
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise UserError(f'{at} has no name: write {{"function": {{"name": "...", "arguments": {{...}}}}}}')
    at = f"{at}.function.arguments"
    arguments = decoded(function.get("arguments", function.get("parameters")), at) or {}
    if not isinstance(arguments, dict):
        raise UserError(f"{at} is {_brief(arguments)}: write an object such as {{}}")
    known = {"id": call["id"]} if isinstance(call.get("id"), str) else {}
    return {**known, "type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _tool(tool: Any, at: str) -> dict[str, Any]:
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise UserError(f"{at} has no name: write it as {_tool_example()}")
    return tool if "function" in tool else {"type": "function", "function": tool}


def _tool_example() -> str:
    return '{"type": "function", "function": {"name": "...", "parameters": {...}}}'


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else f"{text[:37]}..."
