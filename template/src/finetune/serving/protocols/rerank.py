"""`/v1/rerank` of Jina and Cohere, and `/v2/rerank` of Cohere."""

from typing import Any
from uuid import uuid4

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from ..examples import rows_of
from ..gate import trace
from ..service import Service
from .scores import in_body
from .tei import relevance


class Document(BaseModel):
    """A document as an object."""

    model_config = ConfigDict(extra="forbid")
    text: str


class Rerank(BaseModel):
    """A query and the documents to order; the name of the model is not read, for there is one."""

    model_config = ConfigDict(extra="forbid")
    query: str
    documents: list[str | Document]
    model: str | None = None
    top_n: int | None = Field(None, ge=1)
    return_documents: bool | None = None


def make_router(service: Service) -> APIRouter:
    """Both versions."""
    router, rows = APIRouter(tags=["Cohere and Jina"]), rows_of(service.config.task)
    example = in_body({"query": rows[0]["query"], "documents": [row["document"] for row in rows], "top_n": 1})

    async def ranked(body: Rerank, with_documents: bool) -> list[dict[str, Any]]:
        texts = [one if isinstance(one, str) else one.text for one in body.documents]
        results = [
            {"index": i, "relevance_score": score, **({"document": {"text": texts[i]}} if with_documents else {})}
            for i, score in await relevance(service, body.query, texts)
        ]
        return results[: body.top_n]

    @router.post("/v1/rerank", openapi_extra=example)
    async def version_1(body: Rerank) -> Any:
        """With the documents, unless return_documents is false, as Jina answers."""
        results = await ranked(body, body.return_documents is not False)
        tokens = int(trace.get().headers["x-compute-tokens"])
        usage = {"total_tokens": tokens, "prompt_tokens": tokens}
        return {
            "id": f"rerank-{uuid4().hex}",
            "object": "list",
            "model": service.name,
            "usage": usage,
            "results": results,
        }

    @router.post("/v2/rerank", openapi_extra=example)
    async def version_2(body: Rerank) -> Any:
        """Without the documents, as Cohere answers."""
        results = await ranked(body, bool(body.return_documents))
        meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
        return {"id": str(uuid4()), "results": results, "meta": meta}

    return router
