"""Continual learning: how further training avoids catastrophic forgetting."""

from typing import Annotated, Literal

from pydantic import Field

from ..section import Section


class Naive(Section):
    """Plain further training on the new data alone, with catastrophic forgetting."""

    type: Literal["none"] = "none"
    """Plain further training on the new data alone, with catastrophic forgetting."""


class Replay(Section):
    """Experience replay: stored examples of earlier trainings are mixed into every step."""

    type: Literal["replay"]
    """Experience replay: stored examples of earlier trainings in every step; most effective, where data may be kept."""
    budget: int = Field(default=500, ge=1, le=10_000_000)
    """Replay buffer size: examples that are kept with the run, a random sample of all that was trained on."""
    share: float = Field(default=0.5, gt=0, lt=1)
    """Replay ratio: fraction of a batch that comes from the replay buffer."""


class Ewc(Section):
    """Elastic weight consolidation (EWC, Kirkpatrick et al. 2017): a penalty on changes of important weights."""

    type: Literal["ewc"]
    """Elastic weight consolidation (EWC): a penalty on changes of important weights; no example is stored."""
    strength: float = Field(default=10_000.0, gt=0, le=1e9)
    """EWC lambda: weight of the penalty; more forgets less and learns less."""
    examples: int = Field(default=500, ge=1, le=10_000_000)
    """Fisher information: training examples for its estimate; each takes a backward pass of its own."""


class Distillation(Section):
    """Knowledge distillation (learning without forgetting, Li and Hoiem 2016): the old model is the teacher."""

    type: Literal["distillation"]
    """Knowledge distillation: the old model is the teacher on the new data (learning without forgetting)."""
    weight: float = Field(default=0.25, gt=0, le=1000)
    """Distillation weight: factor of the distillation loss, which is added to the loss."""
    temperature: float = Field(default=2.0, gt=0, le=100)
    """Distillation temperature: above 1, classes that the teacher holds for unlikely count more."""


AnyContinual = Annotated[Naive | Replay | Ewc | Distillation, Field(discriminator="type")]
