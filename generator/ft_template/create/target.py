"""Where a project is put: nothing that is there is touched, and on failure nothing is left."""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from .. import hooks
from ..errors import TARGET_EXISTS, UserError
from ..system import interrupts


def target_of(target: Path | None, output_dir: Path, answers: Mapping[str, object]) -> Path:
    """The folder that was asked for, or one that is called by the slug."""
    folder = Path(os.path.abspath(target or output_dir / str(answers.get("project_slug", "project"))))
    if any(mark in str(folder) for mark in hooks.rules().JINJA):
        raise UserError(f"{folder} holds a template expression, which cookiecutter would evaluate: choose another.")
    return folder


def is_taken(folder: Path) -> bool:
    """Whether something is there that would be lost; a link may lead anywhere, even if it leads nowhere now."""
    return os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir() or any(folder.iterdir()))


def refuse_taken(folder: Path) -> None:
    """Raise where no project can be put; an empty folder gives way to it."""
    if is_taken(folder):
        raise UserError(f"{folder} exists already: choose another folder, or remove this one yourself.", TARGET_EXISTS)
    if folder.is_dir() and folder.samefile(Path.cwd()):
        sentence = f"{folder} is the folder in which this runs, which cannot be replaced: run this in the one above."
        raise UserError(sentence, TARGET_EXISTS)


@contextmanager
def folders_above(folder: Path) -> Iterator[None]:
    """Make what is missing up to this folder, and take it back if what follows fails."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        with interrupts.held():
            for path in missing:
                with suppress(OSError):
                    path.rmdir()
        raise


def move(project: Path, folder: Path) -> None:
    """Move the project to its place; the system does it as a whole, and refuses where something lies."""
    try:
        if os.name == "nt" and folder.is_dir():  # elsewhere an empty folder gives way
            folder.rmdir()
        project.rename(folder)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise UserError(f"{folder} has come into being meanwhile: choose another.", TARGET_EXISTS) from error
        raise
