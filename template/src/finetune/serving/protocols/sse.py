"""Server-sent events."""

import json
from collections.abc import AsyncIterator
from typing import Any

from ..limits import Problem
from ..problems import problem_details


async def events(messages: AsyncIterator[dict[str, Any]], path: str, end: str = "") -> AsyncIterator[str]:
    """Messages as events, when there is the first one: until then a problem is a reply of its own, later an event."""
    first = await anext(messages)

    async def all_events() -> AsyncIterator[str]:
        yield _event(first)
        try:
            async for message in messages:
                yield _event(message)
        except Problem as problem:
            yield _event(problem_details(problem, path))
        yield end

    return all_events()


def _event(message: dict[str, Any]) -> str:
    return f"data: {json.dumps(message, ensure_ascii=False)}\n\n"
