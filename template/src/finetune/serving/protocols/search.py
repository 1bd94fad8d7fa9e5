"""`/v1/search`: passages of the corpus for a query, and an answer that quotes them."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from ..examples import text_of
from ..limits import Problem
from ..search import MOST, Search
from .scores import in_body, unsupported


class Request(BaseModel):
    """A query, or several."""

    model_config = ConfigDict(extra="forbid")
    query: str | None = None
    queries: list[str] | None = None
    top_n: int | None = Field(None, ge=1, le=MOST, description="Passages of a query; default: that of the server.")
    answer: bool | None = Field(None, description="Whether the run of --answer answers the query.")


class Passage(BaseModel):
    """A document that was found, by the names of `finetune search --json`."""

    rank: int
    score: float = Field(description="Cosine similarity.")
    rerank_score: float | None = Field(None, description="Of the run of ranking, if it has read the document.")
    document: str
    place: str = Field(description="file:line of the corpus.")
    columns: dict[str, Any] = Field(description="The other columns of its row.")


class Answer(BaseModel):
    """What the run of chat says."""

    text: str
    citations: list[int] = Field(description="Ranks of the passages that it quotes as [1].")
    passages: int = Field(description="How many of the passages it has read, the first ones.")


class Found(BaseModel):
    """The passages of a query, the best first."""

    query: str
    results: list[Passage]
    answer: Answer | None = None


class FoundForEach(BaseModel):
    """Those of each query."""

    queries: list[Found]


def make_router(search: Search) -> APIRouter:
    """`POST /v1/search`."""
    router = APIRouter(tags=["finetune"])
    example = {"query": text_of(search.service.config.task), "top_n": 3}

    @router.post(
        "/v1/search",
        response_model=FoundForEach | Found,
        response_model_exclude_unset=True,
        openapi_extra=in_body(example),
    )
    async def find(body: Request) -> Any:
        """A query → its passages, with `answer` also an answer; several queries → the passages of each."""
        if (body.query is None) == (body.queries is None):
            raise Problem(422, "invalid-body", "body: send a query, or a list of queries, one of the two")
        if body.answer and search.writer is None:
            raise unsupported("answer", "start the server with --answer RUN, a run of chat")
        if body.answer and body.query is None:
            raise unsupported("answer with queries", "send one query")
        queries = [body.query] if body.query is not None else body.queries or []
        found = await search.find(queries, body.top_n)
        shown: list[dict[str, Any]] = [
            {"query": query, "results": [passage.shown() for passage in passages]}
            for query, passages in zip(queries, found, strict=True)
        ]
        if body.query is None:
            return {"queries": shown}
        if body.answer:
            shown[0]["answer"] = await search.answer(body.query, found[0])
        return shown[0]

    return router
