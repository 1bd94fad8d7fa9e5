"""Settings in which runs differ: keys of their configs, and the data files behind equal names."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..config.config import Config
from ..config.flat import flat
from ..run.folder import RunFolder

Settings = Mapping[str, Any]
"""The settings of a run by their keys, such as optim.lr."""
SHOWN_DIGITS = 12
"""Of a checksum."""


def settings_of(run: RunFolder, config: Config) -> Settings:
    """The settings of a run, without those of its folder, and checksums of its data."""
    settings = flat(config.model_dump(mode="json", exclude={"run"}))
    data = run.environment().get("data", {}) if run.environment_file.is_file() else {}
    return settings | {f"SHA-256 of {path}": digest[:SHOWN_DIGITS] for path, digest in data.items()}


def differing_settings(of_runs: Sequence[Settings]) -> dict[str, list[Any]]:
    """The settings that are not the same for all runs, each with the value of every run; None where it has none."""
    keys = dict.fromkeys(key for settings in of_runs for key in settings)
    values = {key: [settings.get(key) for settings in of_runs] for key in keys}
    return {key: row for key, row in values.items() if any(value != row[0] for value in row)}
