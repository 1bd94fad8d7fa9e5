"""The values of nested sections by keys with dots."""

from typing import Any


def flat(section: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """All values of nested sections, by keys such as `train.epochs` and `stages.0.name`."""
    result: dict[str, Any] = {}
    for name, value in section.items():
        key = f"{prefix}{name}"
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = {str(number): part for number, part in enumerate(value)}
        result |= flat(value, f"{key}.") if isinstance(value, dict) else {key: value}
    return result
