"""The target folder: an existing one is never overwritten, and a failure leaves nothing behind."""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from .. import hooks
from ..errors import TARGET_EXISTS, UserError
from ..system.interrupts import deferred_signals


def target_folder(target: Path | None, output_dir: Path, answers: Mapping[str, object]) -> Path:
    """The folder given by the user, or `output_dir`/slug; raises UserError if its path holds Jinja."""
    folder = Path(os.path.abspath(target or output_dir / str(answers.get("project_slug", "project"))))
    if any(mark in str(folder) for mark in hooks.pre_gen().JINJA):
        raise UserError(f"{folder} holds a template expression, which cookiecutter would evaluate: choose another.")
    return folder


def is_occupied(folder: Path) -> bool:
    """Whether something exists there that would be lost; links count, dangling ones too, empty folders do not."""
    return os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir() or any(folder.iterdir()))


def require_free(folder: Path) -> None:
    """Raise UserError if no project can be created there; an empty folder will be replaced."""
    if is_occupied(folder):
        raise UserError(f"{folder} exists already: choose another folder, or remove it first.", TARGET_EXISTS)
    if folder.is_dir() and folder.samefile(Path.cwd()):
        message = f"{folder} is the current folder, which cannot be replaced: run this in the parent folder."
        raise UserError(message, TARGET_EXISTS)


@contextmanager
def created_folder(folder: Path) -> Iterator[None]:
    """Create the folder and its missing parents, and remove them again if the body fails."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        with deferred_signals():
            for path in missing:
                with suppress(OSError):
                    path.rmdir()
        raise


def move(project: Path, folder: Path) -> None:
    """Move the project to its target: a rename is atomic, and fails where something exists."""
    try:
        if os.name == "nt" and folder.is_dir():  # elsewhere a rename replaces an empty folder
            folder.rmdir()
        project.rename(folder)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise UserError(f"{folder} was created in the meantime: choose another.", TARGET_EXISTS) from error
        raise
