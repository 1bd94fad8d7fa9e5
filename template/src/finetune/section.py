"""The base of every section of the config."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, model_validator

from .parsing import LARGEST_NUMBER


class Section(BaseModel):
    """Frozen, and a misspelt key is an error instead of being ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    @model_validator(mode="wrap")
    @classmethod
    def _numbers(cls, given: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        """Refuse true and false as numbers, which they are in Python, and whole numbers that no 64 bits hold."""
        section = validate(given)
        for name, value in section:
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if isinstance(given, dict) and isinstance(given.get(name), bool):
                raise ValueError(f"{name} is {str(given[name]).lower()}: write a number")
            if isinstance(value, int) and abs(value) > LARGEST_NUMBER:
                raise ValueError(f"{name} is a number of more than 64 bits: write a smaller one")
        return section
