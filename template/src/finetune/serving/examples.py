"""Examples of each task for the OpenAPI description and the page."""

from typing import Any

from ..tasks.settings import Settings

TEXT = "The delivery was late, but the shop in Turin was very helpful."
EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "ranking": [
        {"query": "When does the library open?", "document": "The library opens at nine."},
        {"query": "When does the library open?", "document": "The pool is closed on Monday."},
    ],
    "retrieval": [{"query": "When does the library open?"}, {"document": "The library opens at nine."}],
    "text-generation": [{"prompt": "Once upon a time"}],
    "chat": [{"messages": [{"role": "user", "content": "When do you open?"}]}],
    "translation": [{"source": "Where is the station, please?"}],
    "summarization": [{"source": "The library opens at nine today. The street is dry. Bring a friend."}],
}


def rows_of(settings: Settings) -> list[dict[str, Any]]:
    """Rows without labels."""
    return EXAMPLES.get(settings.type, [{"text": TEXT}])


def rows_to_explain(settings: Settings) -> list[dict[str, Any]]:
    """Rows for `/v1/explain`: for retrieval, a query with its document."""
    rows = rows_of(settings)
    return [{**rows[0], **rows[1]}] if settings.type == "retrieval" else rows


def text_of(settings: Settings) -> str:
    """The text of the first row."""
    row = rows_of(settings)[0]
    return str(row["messages"][0]["content"] if "messages" in row else next(iter(row.values())))
