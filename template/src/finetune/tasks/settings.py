"""Sections of the config that belong to tasks."""

from pydantic import Field

from ..section import Section


class Settings(Section):
    """A task's section of the config; a subclass narrows `type` to the name of its task."""

    type: str

    def require_fit(self, max_length: int) -> None:
        """Raise ValueError, beginning with the key, where the section and `model.max_length` contradict each other."""


class Generation(Section):
    """How the model writes a text, token after token."""

    max_new_tokens: int = Field(default=64, ge=1, le=100_000)
    """Longest text that it writes, in tokens."""
    beams: int = Field(default=1, ge=1, le=64)
    """Texts that are written side by side to choose the likeliest; 1 takes the likeliest token each time."""
    temperature: float = Field(default=0.0, ge=0, le=10)
    """0 always takes the likeliest token; above, tokens are drawn, the more freely the higher it is."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Draw only from the likeliest tokens that together have this probability."""
    validation_examples: int = Field(default=200, ge=1)
    """Examples for which the model writes during a validation, where its score needs that: writing takes time."""
    samples: int = Field(default=8, ge=0)
    """Examples that an evaluation shows."""
