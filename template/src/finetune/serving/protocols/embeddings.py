"""Embeddings by Text Embeddings Inference: `/embed`, `/similarity`, and `POST /`, which Hugging Face's client calls.

A text has the prefix of the role that `prompt_name` names, query or document; without `prompt_name` it has none, as
there. `/similarity` compares a query with documents, unless `prompt_name` gives all texts one role.
"""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from ...embedding import Role
from ..examples import rows_of
from ..service import Service
from ..vectors import TextInRole, Vector, embed
from .hf import Sentences
from .scores import in_body, unsupported

Texts = str | list[str] | list[int] | list[list[int]]
"""A text, or several; token ids are refused by a sentence."""


class Options(BaseModel):
    """How texts are read; null is the server's own."""

    model_config = ConfigDict(extra="forbid")
    truncate: bool | None = None
    truncation_direction: Literal["Left", "Right", "left", "right"] | None = None
    prompt_name: Role | None = None

    def require_supported(self) -> None:
        """Raises Problem."""
        if (self.truncation_direction or "").lower() == "left":
            raise unsupported("truncation_direction Left", "texts lose their end")


class Embed(Options):
    """A text, or several."""

    inputs: Texts
    normalize: bool | None = None
    dimensions: int | None = None
    encoding_format: str | None = None

    def require_supported(self) -> None:
        super().require_supported()
        if self.normalize is False:
            raise unsupported("normalize false", "the model's vectors have norm 1")
        if self.encoding_format not in (None, "float"):
            raise unsupported("encoding_format", "take /v1/embeddings for base64")


class Similarity(BaseModel):
    """A sentence, and those to compare it with."""

    model_config = ConfigDict(extra="forbid")
    inputs: Sentences
    parameters: Options | None = None


def make_router(service: Service) -> APIRouter:
    """`/embed`, `/similarity`, `/` and `/invocations`."""
    router, (query, document) = (
        APIRouter(tags=["Text Embeddings Inference", "Hugging Face"]),
        rows_of(service.config.task),
    )
    one_text = in_body({"inputs": query["query"], "prompt_name": "query"})
    compared = in_body({"inputs": {"source_sentence": query["query"], "sentences": [document["document"]]}})

    async def vectors(body: Embed) -> list[list[float]]:
        body.require_supported()
        texts: list[TextInRole] = [(text, body.prompt_name) for text in texts_of(body.inputs, "inputs")]
        found = await embed(service, texts, truncate=body.truncate)
        require_width(body.dimensions, found)
        return [vector.tolist() for vector in found]

    async def similarities(body: Similarity) -> list[float]:
        options = body.parameters or Options()
        options.require_supported()
        role = options.prompt_name
        texts: list[TextInRole] = [(body.inputs.source_sentence, role or "query")]
        texts += [(sentence, role or "document") for sentence in body.inputs.sentences]
        source, *others = await embed(service, texts, truncate=options.truncate)
        return [float(source @ other) for other in others]

    @router.post("/embed", openapi_extra=one_text)
    async def embed_texts(body: Embed) -> Any:
        """The vector of each text; of a single one, too, a list of vectors."""
        return await vectors(body)

    @router.post("/similarity", openapi_extra=compared)
    async def similarity(body: Similarity) -> Any:
        """The cosine similarity of the source sentence, a query, and each of the sentences, documents."""
        return await similarities(body)

    @router.post("/", openapi_extra=one_text)
    @router.post("/invocations", openapi_extra=one_text)
    async def either(body: Embed | Similarity) -> Any:
        """Feature extraction: vectors of texts; or sentence similarity, for a source sentence and sentences."""
        return await (similarities(body) if isinstance(body, Similarity) else vectors(body))

    return router


def texts_of(inputs: Texts, name: str) -> list[str]:
    """The texts. Raises Problem for token ids."""
    texts: Any = [inputs] if isinstance(inputs, str) else inputs
    if not all(isinstance(text, str) for text in texts):
        raise unsupported(f"{name} of token ids", "send texts, which the server tokenizes")
    return texts  # type: ignore[no-any-return]


def require_width(dimensions: int | None, vectors: list[Vector]) -> None:
    """Raises Problem where vectors of another width are asked for."""
    if dimensions is not None and dimensions != len(vectors[0]):
        raise unsupported(f"dimensions {dimensions}", f"the model's vectors have {len(vectors[0])}")
