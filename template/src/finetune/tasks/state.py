"""State of a task: types of what fitting has found, which is saved with a model that may come from somebody else."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from .settings import Overflow


def _distinct(labels: list[str]) -> list[str]:
    if len({*labels}) < len(labels):
        raise ValueError("a label occurs twice")
    return labels


Labels = Annotated[list[str], Field(min_length=1), AfterValidator(_distinct)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
COLDEST, HOTTEST = 0.05, 20.0
"""The limits of a temperature: beyond them probabilities are 0 or 1, or all equal."""


class Typed(BaseModel):
    """Numbers are no texts, and texts no numbers; keys that are not described may have any value."""

    model_config = ConfigDict(strict=True, extra="ignore")


class NumberColumn(Typed):
    """Statistics of a tabular feature that is a number."""

    type: Literal["number"]
    mean: Finite
    deviation: Positive


class CategoryColumn(Typed):
    """Statistics of a tabular feature that is a category."""

    type: Literal["category"]
    values: list[str | None]
    shares: list[Share]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.shares) != len(self.values):
            raise ValueError("its shares must be as many as its values")
        return self


class State(Typed):
    """What every task may have; the attributes of a task have the names of the fields."""

    overflow: Overflow = "cut"
    weights: list[Positive] | None = None
    """Class weights in the order of the labels."""
    features: dict[str, Annotated[NumberColumn | CategoryColumn, Field(discriminator="type")]] = {}

    @model_validator(mode="after")
    def _has_a_weight_for_each_label(self) -> Self:
        if self.weights is not None and len(self.weights) != len(getattr(self, "labels", ())):
            raise ValueError("its weights must be as many as its labels")
        return self


class TextState(State):
    """Of tasks on a text or a pair."""

    paired: bool | None = None
    """None in models of earlier versions."""


class ProbabilityState(State):
    """Of tasks whose predictions have probabilities."""

    temperature: Annotated[float, Field(ge=COLDEST, le=HOTTEST)] = 1.0
    """1 in models of earlier versions."""
