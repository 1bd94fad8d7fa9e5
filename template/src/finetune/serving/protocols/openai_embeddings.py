"""OpenAI's `/v1/embeddings`.

The role of the texts, which OpenAI does not have, is named by `input_type`, as Cohere and others have it, or by
`prompt_name`; without one, texts get no prefix.
"""

from typing import Any, Literal, get_args

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from ...embedding import Role
from ..examples import text_of
from ..gate import trace
from ..service import Service
from ..vectors import base64_of, embed
from .embeddings import Texts, require_width, texts_of
from .models import add_models
from .scores import in_body, unsupported

InputType = Literal["query", "search_query", "document", "search_document", "passage"]
ROLES: dict[str, Role] = {name: "query" if "query" in name else "document" for name in get_args(InputType)}


class Embeddings(BaseModel):
    """A text, or several. The name of the model and the user are not read."""

    model_config = ConfigDict(extra="allow")
    input: Texts
    model: str | None = None
    user: str | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    input_type: InputType | None = None
    prompt_name: Role | None = None

    def role(self) -> Role | None:
        """That of all texts. Raises Problem for a member that would be ignored, or two roles."""
        for name, value in (self.model_extra or {}).items():
            if value is not None:
                raise unsupported(name)
        named = ROLES[self.input_type] if self.input_type else None
        if named and self.prompt_name and named != self.prompt_name:
            raise unsupported("input_type and prompt_name of two roles", "name one")
        return named or self.prompt_name


def make_router(service: Service) -> APIRouter:
    """`/v1/embeddings` and `/v1/models`."""
    router = APIRouter(tags=["OpenAI"])
    add_models(router, service)
    example = {"model": service.name, "input": [text_of(service.config.task)], "input_type": "query"}

    @router.post("/v1/embeddings", openapi_extra=in_body(example))
    async def embeddings(body: Embeddings) -> Any:
        """The vector of each text, as numbers, or as float32 in base64."""
        role = body.role()
        vectors = await embed(service, [(text, role) for text in texts_of(body.input, "input")], "input")
        require_width(body.dimensions, vectors)
        shown = base64_of if body.encoding_format == "base64" else lambda vector: vector.tolist()
        tokens = int(trace.get().headers["x-compute-tokens"])
        return {
            "object": "list",
            "data": [
                {"object": "embedding", "index": number, "embedding": shown(vector)}
                for number, vector in enumerate(vectors)
            ],
            "model": service.name,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }

    return router
