"""Settings in which runs differ: keys of their configs, and the data files behind equal names."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..config.config import Config
from ..run.folder import RunFolder

SHOWN_DIGITS = 12
"""Of a checksum."""


def settings_of(run: RunFolder, config: Config) -> dict[str, Any]:
    """The settings of a run by their keys, such as optim.lr, without those of its folder; and checksums of its data."""
    settings = _flat(config.model_dump(mode="json", exclude={"run"}))
    data = run.environment().get("data", {}) if run.environment_file.is_file() else {}
    return settings | {f"SHA-256 of {path}": digest[:SHOWN_DIGITS] for path, digest in data.items()}


def differing_settings(runs: Sequence[RunFolder], configs: Sequence[Config]) -> dict[str, list[Any]]:
    """The settings that are not the same for all runs, each with the value of every run; None where it has none."""
    found = [settings_of(run, config) for run, config in zip(runs, configs, strict=True)]
    keys = dict.fromkeys(key for settings in found for key in settings)
    values = {key: [settings.get(key) for settings in found] for key in keys}
    return {key: row for key, row in values.items() if any(value != row[0] for value in row)}


def _flat(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in section.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat
