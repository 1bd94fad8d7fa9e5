"""Identifiers of tool calls as Mistral's templates demand them: nine letters and digits."""

import hashlib
import re
from typing import Any

from ..data.forms.dialogues import Message

NINE = re.compile(r"[A-Za-z0-9]{9}")


def with_short_ids(messages: list[Message]) -> list[Message]:
    """The messages with such identifiers, each the same for a call and its result; a missing one is made up.

    They depend on nothing that comes later, so that a dialogue begins as its first messages do.
    """
    short: dict[str, str] = {}
    unanswered: list[str] = []
    changed = []
    for number, message in enumerate(messages):
        if "tool_calls" in message:
            calls: list[dict[str, Any]] = []
            for call in message["tool_calls"]:
                given = call.get("id") or f"{number}.{len(calls)}"
                calls.append({**call, "id": short.setdefault(given, _nine(given))})
                unanswered.append(calls[-1]["id"])
            message = {**message, "tool_calls": calls}
        elif message["role"] == "tool":
            given = str(message.get("tool_call_id"))
            found = short.get(given) or (unanswered[0] if unanswered else _nine(given))
            unanswered = [one for one in unanswered if one != found]
            message = {**message, "tool_call_id": found}
        changed.append(message)
    return changed


def _nine(given: str) -> str:
    return given if NINE.fullmatch(given) else hashlib.blake2b(given.encode(errors="replace")).hexdigest()[:9]
