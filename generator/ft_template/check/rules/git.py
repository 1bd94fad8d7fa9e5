"""What git keeps: the shared files, also for a user who ignores .idea everywhere, and nothing personal."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..fault import Place, Violation
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
"""One file for each kind of thing that belongs to one user or machine."""

SHARED = (".vscode/", "configs/", "schemas/", "src/", "tests/")
"""Folders that a clone needs whole."""

GITIGNORE = Place(".gitignore")


@rule("git.shared", "let it through with a line such as !/.idea/ or !/jsonSchemas.xml in the .gitignore beside it")
def shared_files_are_kept(project: Project) -> Iterator[Violation]:
    """Without them a colleague's clone has no run configurations, or none that work."""
    inside = [name for name in project.files if name.startswith(SHARED)]
    for name in sorted(ignored(project, [*project.documents, *inside, ".idea/.gitignore", "pyproject.toml"])):
        yield Place(name), "git ignores it, and a clone lacks it"


@rule("git.personal", "name it in .gitignore or .idea/.gitignore")
def personal_files_are_ignored(project: Project) -> Iterator[Violation]:
    kept = set(PERSONAL) - ignored(project, PERSONAL)
    for name in sorted(kept) if shutil.which("git") else ():
        place = Place(".idea/.gitignore") if name.startswith(".idea/") else GITIGNORE
        yield place, f"git would keep {name}, which belongs to one user or machine"


def ignored(project: Project, names: Sequence[str]) -> set[str]:
    """The files that git would ignore for a user who ignores .idea everywhere; none where there is no git."""
    git = shutil.which("git")
    if not git:
        return set()
    # Neither the user's settings nor a repository around us may have a say.
    outside = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    alone = outside | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    with tempfile.TemporaryDirectory(prefix="ft-template-") as folder:
        subprocess.run([git, "init", "--quiet", folder], check=True, capture_output=True, env=alone)
        everywhere = Path(folder, "ignored-everywhere")
        everywhere.write_text(".idea/\n", encoding="utf-8")
        place = (f"--git-dir={Path(folder, '.git')}", f"--work-tree={project.root}")
        command = [git, *place, "-c", f"core.excludesFile={everywhere.as_posix()}", "check-ignore", "-z", "--stdin"]
        listing = "\0".join(names).encode()
        done = subprocess.run(command, cwd=project.root, input=listing, capture_output=True, env=alone, check=False)
    return set(filter(None, done.stdout.decode("utf-8", errors="surrogateescape").split("\0")))
