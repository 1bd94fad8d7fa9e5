"""Explanations: the words of a text with their contributions, as `finetune explain` writes them."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, create_model

from ...tasks.settings import Settings
from ..examples import rows_to_explain
from ..service import Service

METHOD: Any = Literal["gradients", "occlusion", "both"]


class Word(BaseModel):
    """A word that the model reads; offsets count Unicode code points, the end is exclusive."""

    part: str = Field(description="The column of its text.")
    start: int
    end: int
    text: str
    gradients: float | None = Field(None, description="Its integrated gradient; below 0 it lowers the target.")
    occlusion: float | None = Field(None, description="By how much the target falls without the word.")


class Target(BaseModel):
    """What is explained: a label, an entity, a tag, a number or a score."""

    target: str
    unit: str = Field(description="log-odds of a label or tag; empty for a number or a score.")
    probability: float | None = None
    value: float | None = Field(None, description="The target of the text, in its unit.")
    baseline: float | None = Field(None, description="The target with the baseline token in place of each word.")
    baseline_token: str | None = None
    error: float | None = Field(None, description="Completeness error: the sum over the words less value - baseline.")
    steps: int | None = None
    words: list[Word]


class Explanation(BaseModel):
    """The text of a row, or its texts, and each target."""

    texts: dict[str, str] = Field(description="By their columns.")
    truncated: bool = Field(False, description="Whether the end of the text was not read.")
    targets: list[Target]


class Explanations(BaseModel):
    """One for each row."""

    explanations: list[Explanation]


def make_router(service: Service) -> APIRouter:
    """`POST /v1/explain`."""
    router, request = APIRouter(tags=["finetune"]), _request(service.config.task, service.limits.max_client_batch_size)

    @router.post("/v1/explain", response_model=Explanations, response_model_exclude_unset=True)
    async def explain(body: request) -> Any:  # type: ignore[valid-type]
        """Rows as for /v1/predict → how much each word contributes, by integrated gradients or by leaving it out."""
        given: Any = body
        methods = ["gradients", "occlusion"] if given.method == "both" else [given.method]
        rows = service.rows(given.rows, labelled=service.config.task.type == "retrieval")
        return {"explanations": await service.explain(rows, methods, given.label, given.word)}

    return router


def _request(settings: Settings, most: int) -> type[BaseModel]:
    rows = Field(description=f"At most {most} rows.", examples=[rows_to_explain(settings)])
    return create_model(
        "RowsToExplain",
        __config__=ConfigDict(extra="forbid"),
        rows=(list[dict[str, Any]], rows),
        method=(METHOD, "gradients"),
        label=(str | None, Field(None, description="A label instead of the predicted one.")),
        word=(int | None, Field(None, description="Of token classification: the number of a word, from 1.")),
    )
