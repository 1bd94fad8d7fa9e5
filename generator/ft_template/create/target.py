"""The target folder: nothing in it is ever overwritten, and a failure leaves nothing behind."""

import errno
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from .. import hooks
from ..errors import TARGET_EXISTS, UserError
from ..system.interrupts import deferred_signals
from ..template import Template


def target_folder(target: Path | None, output_dir: Path, answers: Mapping[str, object]) -> Path:
    """The folder given by the user, or `output_dir`/slug; raises UserError if its path holds Jinja."""
    folder = Path(os.path.abspath(target or output_dir / str(answers.get("project_slug", "project"))))
    if any(mark in str(folder) for mark in hooks.pre_gen().JINJA):
        raise UserError(f"{folder} holds a template expression, which cookiecutter would evaluate: choose another.")
    return folder


def hidden_entries(template: Template) -> set[str]:
    """The hidden files and folders at the top of every project; none are known of another template than the bundled."""
    folder = template.folder / "template"
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()] if template.bundled else []
    names = {path.parts[0] for path in files if "{%" not in path.as_posix()}
    return {name for name in names if name.startswith(".")} - set(hooks.post_gen().CACHES)


def obstacle(folder: Path, brought: Collection[str]) -> str | None:
    """Why no project can be created there, in one sentence; None if one can.

    A folder with nothing but hidden files, such as .git, is as good as an empty one, and they are kept; `brought` are
    the names in the project's folder, of which none may be taken. Links are never followed.
    """
    if not os.path.lexists(folder):
        return None
    is_folder = folder.is_dir() and not folder.is_symlink()
    names = {path.name for path in folder.iterdir()} if is_folder else set[str]()
    if not is_folder or not all(name.startswith(".") for name in names):
        return f"{folder} exists already: choose another folder, or an empty one."
    if taken := sorted(names.intersection(brought)):
        return f"{folder} has {taken[0]}, which the project brings, too: remove it first, or choose another folder."
    return None


def require_free(folder: Path, brought: Collection[str]) -> None:
    """Raise UserError if no project can be created there."""
    if message := obstacle(folder, brought):
        raise UserError(message, TARGET_EXISTS)


def is_kept(folder: Path) -> bool:
    """Whether a project moves into this folder, instead of replacing it: there are files in it, or it is in use."""
    return folder.is_dir() and (any(folder.iterdir()) or folder.samefile(Path.cwd()))


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
    if project.is_relative_to(folder):
        _move_into(project, folder)
        return
    try:
        if os.name == "nt" and folder.is_dir():  # elsewhere a rename replaces an empty folder
            folder.rmdir()
        project.rename(folder)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise UserError(f"{folder} was created in the meantime: choose another.", TARGET_EXISTS) from error
        raise


def _move_into(project: Path, folder: Path) -> None:
    """Move what is in the project's folder into a folder around it; after an error nothing of it is left there."""
    paths = sorted(project.iterdir())
    require_free(folder, [path.name for path in paths])
    moved: list[Path] = []
    try:
        for path in paths:
            moved.append(path.rename(folder / path.name))
    except OSError:
        for path in moved:
            path.rename(project / path.name)
        raise
