"""Text Embeddings Inference: `/predict` and `/rerank`. Two texts in a list are a pair; a batch is a list of lists."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from ..examples import rows_of, text_of
from ..limits import Problem
from ..service import Service, Text
from .scores import in_body, labels_of, sigmoid, unsupported


class Truncation(BaseModel):
    """Whether a text that is too long is truncated at its end; null: as the server was told."""

    model_config = ConfigDict(extra="forbid")
    truncate: bool | None = None
    truncation_direction: Literal["Left", "Right", "left", "right"] = "Right"
    raw_scores: bool = False

    def require_supported(self) -> None:
        """Raises Problem."""
        if self.truncation_direction.lower() == "left":
            raise unsupported("truncation_direction Left", "texts lose their end")


class Predict(Truncation):
    """A text, a pair [a, b], or a batch of them, [[a], [b, c]]."""

    inputs: str | list[str] | list[list[str]]


class Rerank(Truncation):
    """A query and the texts to order."""

    query: str
    texts: list[str]
    return_text: bool = False


def make_router(service: Service) -> APIRouter:
    """`/predict` and `/invocations`, or `/rerank` for a ranking."""
    router, settings = APIRouter(tags=["Text Embeddings Inference"]), service.config.task
    example: dict[str, Any] = {"inputs": text_of(settings)}
    if settings.type == "ranking":
        rows = rows_of(settings)
        example = {"inputs": [list(rows[0].values())]}
        ranked = in_body({"query": rows[0]["query"], "texts": [row["document"] for row in rows]})

        @router.post("/rerank", openapi_extra=ranked)
        @router.post("/invocations", openapi_extra=ranked)
        async def rerank(body: Rerank) -> Any:
            """The texts' indices and scores, the most relevant first."""
            body.require_supported()
            scores = await relevance(service, body.query, body.texts, raw=body.raw_scores, truncate=body.truncate)
            return [
                {"index": i, "score": score, **({"text": body.texts[i]} if body.return_text else {})}
                for i, score in scores
            ]

    async def predict(body: Predict) -> Any:
        """Labels and probabilities, the likeliest first; of a batch a list of such lists."""
        body.require_supported()
        if body.raw_scores and settings.type not in ("regression", "ranking"):
            raise unsupported("raw_scores", "take the probabilities")
        batch = isinstance(body.inputs, list) and bool(body.inputs) and isinstance(body.inputs[0], list)
        inputs: Any = body.inputs if batch else [body.inputs]
        rows = service.rows_of_texts([_text(one, number) for number, one in enumerate(inputs)])
        answers = [labels_of(record) for record in await service.predict(rows, truncate=body.truncate)]
        if settings.type == "ranking" and not body.raw_scores:
            answers = [[{**one, "score": sigmoid(one["score"])} for one in answer] for answer in answers]
        return answers if batch else answers[0]

    for path in ("/predict",) if settings.type == "ranking" else ("/predict", "/invocations"):
        router.post(path, openapi_extra=in_body(example))(predict)
    return router


async def relevance(
    service: Service, query: str, texts: list[str], *, raw: bool = False, truncate: bool | None = None
) -> list[tuple[int, float]]:
    """Indices of the texts and their scores, the most relevant first; unless `raw`, between 0 and 1."""
    records = await service.predict(
        service.rows_of_texts([(query, text) for text in texts], "texts"), truncate=truncate
    )
    order = sorted(range(len(records)), key=lambda i: records[i]["rank"])
    return [(i, records[i]["score"] if raw else sigmoid(records[i]["score"])) for i in order]


def _text(value: str | list[str], number: int) -> Text:
    if isinstance(value, str):
        return value, None
    if len(value) not in (1, 2):
        raise Problem(422, "invalid-row", f"inputs[{number}]: has {len(value)} texts: send one, or a pair")
    return value[0], value[1] if len(value) == 2 else None
