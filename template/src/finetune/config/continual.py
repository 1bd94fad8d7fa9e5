"""The part of the config that says how a model keeps what it knew while it learns more."""

from typing import Annotated, Literal

from pydantic import Field

from ..section import Section


class Naive(Section):
    """Train on the new data alone, and forget what they do not repeat."""

    type: Literal["none"] = "none"
    """Train on the new data alone, and forget what they do not repeat."""


class Replay(Section):
    """Mix stored examples of the earlier training into every step; a sample of all so far is kept with the run."""

    type: Literal["replay"]
    """Mix stored examples of the earlier training into every step: the surest remedy, where data may be kept."""
    budget: int = Field(default=500, ge=1, le=10_000_000)
    """Examples that are kept with the run for the next one: a random sample of everything that was trained on."""
    share: float = Field(default=0.5, gt=0, lt=1)
    """Share of the examples of a step that are stored ones."""


class Ewc(Section):
    """Elastic weight consolidation (Kirkpatrick et al. 2017): hold the weights on which the earlier data depend."""

    type: Literal["ewc"]
    """Hold the weights on which the earlier data depend (elastic weight consolidation): no example is stored."""
    strength: float = Field(default=10_000.0, gt=0, le=1e9)
    """Weight of the penalty, the paper's lambda: more forgets less and learns less."""
    examples: int = Field(default=500, ge=1, le=10_000_000)
    """Training examples from which is estimated how much depends on each weight; each takes a step of its own."""


class Distillation(Section):
    """Learning without forgetting (Li and Hoiem 2016): on the new data, stay near to what the old model says."""

    type: Literal["distillation"]
    """On the new data, stay near to what the old model says of them: neither examples nor anything else is stored."""
    weight: float = Field(default=0.25, gt=0, le=1000)
    """Weight of the distance to the old model (times the square of the temperature), beside the loss."""
    temperature: float = Field(default=2.0, gt=0, le=100)
    """Above 1, what the old model held for unlikely counts more."""


AnyContinual = Annotated[Naive | Replay | Ewc | Distillation, Field(discriminator="type")]
