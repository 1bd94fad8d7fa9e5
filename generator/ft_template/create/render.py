"""Render a template into a folder."""

import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from .. import hooks
from ..errors import FAILED, INVALID_ANSWERS, UserError
from ..template import Template
from . import run_job


def render(
    template: Template, answers: Mapping[str, object], folder: Path, scratch: Path, log: Callable[[str], None]
) -> Path:
    """Render a project into `folder` and return its path.

    `log` gets the output of the template's hooks. Raises UserError with a hook's message if it rejects an answer.
    """
    output: list[str] = []
    reply = run_job.run_job(
        scratch,
        output.append,
        job="render",
        template=str(prepare_source(template, scratch)),
        answers=answers,
        folder=str(folder),
        hooks=not template.bundled,  # the steps of the bundled template's hooks run in this process
    )
    for line in output:
        log(line)
    if reply.get("hook") == "before" and any(output):
        raise UserError(next(filter(None, output)), INVALID_ANSWERS)
    if reason := reply.get("error"):
        message = f"The template {template.name} cannot be rendered ({reason}); nothing was created: fix the template."
        raise UserError(message, FAILED)
    project = Path(reply["path"])
    if template.bundled:
        hooks.post_gen().clean_up(project)
    for path in project.rglob("*"):  # cookiecutter copies modes, and a template may be installed read-only
        path.chmod(path.stat().st_mode | stat.S_IWUSR)
    return project


def prepare_source(template: Template, scratch: Path) -> Path:
    """The folder that cookiecutter renders.

    A wheel holds no links and may be installed read-only: for the bundled template, the link is created in `scratch`.
    """
    if not template.bundled:
        return template.folder
    folder = scratch / "ft-template"
    folder.mkdir()
    link = folder / hooks.pre_gen().LINK
    shutil.copyfile(template.folder / "cookiecutter.json", folder / "cookiecutter.json")
    try:
        link.symlink_to(template.folder / "template", target_is_directory=True)
    except OSError:  # Windows, without the right to create links
        shutil.copytree(template.folder / "template", link)
    return folder
