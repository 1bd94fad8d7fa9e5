"""What git tracks: shared files, also for users whose global gitignore lists .idea, and no personal files."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from ..fault import Place, Violation
from ..project.project import PERSONAL as PERSONAL_SETTINGS
from ..project.project import Project
from .rule import rule

PERSONAL = (
    ".idea/workspace.xml",
    ".idea/misc.xml",
    ".idea/shelf/changes.patch",
    ".idea/dataSources.local.xml",
    ".venv/pyvenv.cfg",
    ".env",
    "runs/demo/config.json",
    "models/org--name/model.safetensors",
    "src/finetune/__pycache__/cli.pyc",
)
"""Examples of personal files, one of each kind."""

SHARED = (".vscode/", "configs/", "schemas/", "src/", "tests/")
"""Folders that must be tracked completely."""

GITIGNORE = Place(".gitignore")
SECONDS = 5
"""A limit for git, which takes some milliseconds."""


@rule("git.shared", "add a line such as !/.idea/ or !/jsonSchemas.xml to the .gitignore beside it")
def shared_files_are_kept(project: Project) -> Iterator[Violation]:
    """Without them a clone has no working run configurations."""
    inside = [name for name in project.files if name.startswith(SHARED)]
    settings = project.documents.keys() - {f".idea/{name}" for name in PERSONAL_SETTINGS}
    for name in sorted(ignored(project, [*settings, *inside, ".idea/.gitignore", "pyproject.toml"])):
        yield Place(name), "git ignores it: a clone will not have it"


@rule("git.personal", "add it to .gitignore or .idea/.gitignore")
def personal_files_are_ignored(project: Project) -> Iterator[Violation]:
    tracked = set(PERSONAL) - ignored(project, PERSONAL)
    for name in sorted(tracked) if shutil.which("git") else ():
        place = Place(".idea/.gitignore") if name.startswith(".idea/") else GITIGNORE
        yield place, f"git would track {name}, which belongs to one user or machine"


def ignored(project: Project, names: Sequence[str]) -> set[str]:
    """The files that git ignores if the global gitignore lists .idea; none if git is not installed or cannot tell."""
    git = shutil.which("git")
    if not git or any(project.is_refused(folder / ".gitignore") for folder in parents(project, names)):
        return set()
    # Independent of the user's git settings, and of a repository around the project.
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    isolated = variables | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    with tempfile.TemporaryDirectory(prefix="ft-template-") as folder:
        repository = empty_repository(Path(folder))
        global_ignore = repository / "global-gitignore"
        global_ignore.write_text(".idea/\n", encoding="utf-8")
        place = (f"--git-dir={repository}", f"--work-tree={project.root}")
        command = [git, *place, "-c", f"core.excludesFile={global_ignore.as_posix()}", "check-ignore", "-z", "--stdin"]
        listing = os.fsencode("\0".join(names))
        run = partial(subprocess.run, cwd=project.root, capture_output=True, env=isolated, check=False)
        try:
            done = run(command, input=listing, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            project.refused[GITIGNORE.file] = f"git takes more than {SECONDS} s to read it"
            return set()
    return set(filter(None, os.fsdecode(done.stdout).split("\0")))


def empty_repository(folder: Path) -> Path:
    """What `git init` makes of an empty folder, as far as git needs it."""
    for name in ("objects", "refs"):
        (folder / name).mkdir()
    (folder / "HEAD").write_text("ref: refs/heads/main\n", encoding="utf-8")
    return folder


def parents(project: Project, names: Sequence[str]) -> set[Path]:
    """The folders in which git looks for a .gitignore to tell whether it ignores these files."""
    folders = {parent for name in names for parent in PurePosixPath(name).parents if not parent.is_absolute()}
    return {project.root / folder for folder in folders}
