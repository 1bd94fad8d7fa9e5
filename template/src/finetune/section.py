"""The base of every section of the config."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, model_validator

from .parsing import LARGEST_NUMBER


class Section(BaseModel):
    """Frozen, and a misspelt key is an error instead of being ignored."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, regex_engine="python-re"
    )

    @model_validator(mode="wrap")
    @classmethod
    def _numbers(cls, given: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        """Refuse true and false as numbers, which they are in Python, and whole numbers that no 64 bits hold."""
        section = validate(given)
        for name, value in section:
            written = given.get(name) if isinstance(given, dict) else None
            _require_number(name, value, written)
            if isinstance(value, dict) and isinstance(written, dict):
                for key, inner in value.items():
                    _require_number(f"{name}.{key}", inner, written.get(key))
        return section


def _require_number(name: str, value: Any, written: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if isinstance(written, bool):
        raise ValueError(f"{name} is {str(written).lower()}: write a number")
    if isinstance(value, int) and abs(value) > LARGEST_NUMBER:
        raise ValueError(f"{name} is a number of more than 64 bits: write a smaller one")
