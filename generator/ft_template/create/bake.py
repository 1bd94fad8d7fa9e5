"""Render a project with cookiecutter, independent of the user's own cookiecutter settings."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from cookiecutter.main import cookiecutter

REPOSITORY = Path(__file__).resolve().parents[3]


def bake(
    output_dir: Path,
    answers: Mapping[str, Any] | None = None,
    *,
    template: str | Path = REPOSITORY,
    hooks: bool = True,
    keep: bool = False,
) -> Path:
    """Render a project into `output_dir` and return its folder; missing answers take their defaults.

    With `keep`, cookiecutter does not remove an incomplete project after a failure. Raises what cookiecutter raises:
    FailedHookException if a hook rejects an answer (its message is on stderr).
    """
    with tempfile.TemporaryDirectory(prefix="ft-template-") as private:
        # The user's default_context would change the answers, and their record for --replay must not be overwritten.
        config = Path(private, "config.yaml")
        config.write_text(yaml.safe_dump({"replay_dir": private, "cookiecutters_dir": private}), encoding="utf-8")
        project: str = cookiecutter(
            str(template),
            no_input=True,
            extra_context=dict(answers or {}),
            output_dir=str(output_dir),
            config_file=str(config),
            accept_hooks=hooks,
            keep_project_on_failure=keep,
        )
    return Path(project)
