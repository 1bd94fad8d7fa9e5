"""Our own convention: rows as in the run's data files, answered with what `finetune predict` writes for them."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, create_model

from ...tasks.settings import ProbabilitySettings, Settings
from ..examples import rows_of
from ..service import Service
from ..vectors import embed, texts_of_rows


class Classified(BaseModel):
    """The likeliest label; null where its probability is below the least confidence."""

    prediction: str | None
    probability: float
    probabilities: dict[str, float]


class MultiLabelled(BaseModel):
    """The labels above the threshold."""

    prediction: list[str]
    probabilities: dict[str, float]


class Number(BaseModel):
    """A number in the unit of the training data."""

    prediction: float


class Entity(BaseModel):
    """A span of the text; offsets count Unicode code points, the end is exclusive."""

    start: int
    end: int
    label: str
    text: str
    probability: float


class Entities(BaseModel):
    """Of a text its entities."""

    prediction: list[Entity]


class Tags(BaseModel):
    """Of given words their tags."""

    prediction: list[str]
    probability: list[float]


class Ranked(BaseModel):
    """The score of a document, and its rank among those of the same query in the request."""

    score: float
    rank: int


class Embedded(BaseModel):
    """The vector of the query, or of a row that has none, of the document; its Euclidean norm is 1."""

    embedding: list[float]


class Text(BaseModel):
    """A generated text."""

    prediction: str | None


ANSWERS: dict[str, Any] = {
    "text-classification": Classified,
    "multi-label-classification": MultiLabelled,
    "regression": Number,
    "token-classification": Entities | Tags,
    "ranking": Ranked,
    "retrieval": Embedded,
}
"""The answer to a row of each task; those that are not named here generate texts."""


def make_router(service: Service) -> APIRouter:
    """`POST /v1/predict`."""
    router, settings = APIRouter(tags=["finetune"]), service.config.task
    answer, request = _models(settings, service.limits.max_client_batch_size)

    @router.post("/v1/predict", response_model=answer)
    async def predict(body: request) -> Any:  # type: ignore[valid-type]
        """Rows of the task's own data format, without the label → predictions in their order."""
        asked: Any = body
        if settings.type == "retrieval":
            vectors = await embed(service, texts_of_rows(service, asked.rows), "rows")
            return {"predictions": [{"embedding": vector.tolist()} for vector in vectors]}
        least = getattr(asked, "min_confidence", None)
        return {"predictions": await service.predict(service.rows(asked.rows), min_confidence=least)}

    return router


def _models(settings: Settings, most: int) -> tuple[type[BaseModel], type[BaseModel]]:
    answers: Any = list[ANSWERS.get(settings.type, Text)]  # type: ignore[misc]
    answer = create_model("Predictions", predictions=(answers, ...))
    rows = Field(description=f"At most {most} rows.", examples=[rows_of(settings)])
    least = Field(None, ge=0, le=1, description="Withhold answers with a lower probability; default: the server's.")
    fields: Any = {"min_confidence": (float | None, least)} if isinstance(settings, ProbabilitySettings) else {}
    request = create_model("Rows", __config__=ConfigDict(extra="forbid"), rows=(list[dict[str, Any]], rows), **fields)
    return answer, request
