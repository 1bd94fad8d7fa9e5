"""What the tests of the template share: a clean copy of the repository, and projects baked from it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from ft_template.create.bake import REPOSITORY, bake

LINK = "{{cookiecutter.project_slug}}"
DATA_FORMAT = {
    "text-classification": "jsonl",
    "multi-label-classification": "jsonl",
    "regression": "jsonl",
    "token-classification": "conll",
    "ranking": "jsonl",
    "retrieval": "jsonl",
    "text-generation": "jsonl",
    "chat": "jsonl",
    "translation": "jsonl",
    "summarization": "jsonl",
}
TASKS = tuple(DATA_FORMAT)
IN_BOTH = {"text-classification", "token-classification", "chat"}
"""Tasks whose demo data exist in English and in Chinese; the others have theirs in English."""
TINY = {"text-generation": "tiny:gpt2", "chat": "tiny:gpt2", "translation": "tiny:t5", "summarization": "tiny:t5"}
"""The model of the demo where it is not tiny:bert."""

# Neither the settings of whoever runs the tests nor hooks of their git have a say.
QUIET = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "COOKIECUTTER_CONFIG": os.devnull}

Bake = Callable[..., Path]


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its contents, by its path with forward slashes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def write_files(folder: Path, contents: Mapping[str, str]) -> None:
    """Text files by their path below a folder, which is made where it is missing."""
    for name, text in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def git(*arguments: str | Path, cwd: Path | None = None) -> str:
    """What git prints."""
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    return subprocess.check_output(["git", *identity, *arguments], cwd=cwd, env=os.environ | QUIET, text=True)


def cruft(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command as a user types it."""
    command = [sys.executable, "-m", "cruft", *arguments]
    return subprocess.run(command, cwd=cwd, env=os.environ | QUIET, capture_output=True, text=True, check=False)


def commit_all(folder: Path, message: str) -> None:
    """All files of a folder as a commit of its repository, which is made where there is none."""
    git("init", "--quiet", "--initial-branch=main", cwd=folder)
    git("add", "--all", cwd=folder)
    git("commit", "--quiet", f"--message={message}", cwd=folder)


def pytest_configure(config: pytest.Config) -> None:
    """Trainings to the end are left out, unless `-m` asks for them (`-m slow`)."""
    config.addinivalue_line("markers", "slow: trains a demo to its end; run by `-m slow` only")
    config.option.markexpr = config.option.markexpr or "not slow"


LONGEST = ("test_end_to_end.py", "test_demo.py", "test_check_run.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that at the end no core waits for one of them."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that git has or would take, without environments, caches and builds."""
    copy = tmp_path_factory.mktemp("repository") / "ft-template"
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listing.split("\0")):
        if os.path.lexists(REPOSITORY / name):  # a file deleted but not yet committed is still listed
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, copy / name, follow_symlinks=False)
    return copy


@pytest.fixture
def bake_project(repository: Path, tmp_path: Path) -> Bake:
    """Bakes into an empty folder of the test; without an environment, unless the answers ask for one."""

    def bake_here(output_dir: Path = tmp_path, *, hooks: bool = True, **answers: str) -> Path:
        return bake(output_dir, {"environment": "none", **answers}, template=repository, hooks=hooks)

    return bake_here


@pytest.fixture(scope="session", params=TASKS)
def project(request: pytest.FixtureRequest, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the default answers, once for each task; tests only read it."""
    answers = {"environment": "none", "task": request.param}
    return bake(tmp_path_factory.mktemp(request.param), answers, template=repository)
