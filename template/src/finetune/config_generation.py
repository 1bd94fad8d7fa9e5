"""The part of the config that says how a model writes."""

from pydantic import Field

from .strict import Strict


class Generation(Strict):
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
