"""Stamp out a project with cookiecutter, independent of the user's own cookiecutter settings."""

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
    """Make a project inside `output_dir` and return its folder; answers that are not given take their defaults.

    With `keep`, what a failure leaves stays for the caller to look at, and to remove. Raises what cookiecutter raises:
    FailedHookException where a hook has refused an answer (and said why on stderr).
    """
    with tempfile.TemporaryDirectory(prefix="ft-template-") as private:
        # Defaults of the user's own would change the project, and the record for --replay is theirs too.
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
