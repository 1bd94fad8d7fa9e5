"""environment.json: what a run records of where it came from, beside checksums and versions."""

import json
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Project
from transformers import AutoTokenizer

from finetune import __version__
from finetune.errors import UserError
from finetune.run.environment import git_commit, project_language, template_version


def git(*arguments: str) -> str:
    """Run git in the current folder as somebody."""
    command = ("git", "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


def test_a_commit_and_whether_files_differ_from_it(folder: Path) -> None:
    assert git_commit() is None
    git("init")
    assert git_commit() is None
    (folder / "a").write_text("1")
    git("add", "a")
    git("commit", "--message", "first")
    git("tag", "--annotate", "v1", "--message", "x")  # the name of a tag is no commit
    commit = git("rev-parse", "HEAD")
    (folder / "untracked").write_text("")
    assert git_commit() == {"commit": commit, "modified": False}
    (folder / "a").write_text("2")
    assert git_commit() == {"commit": commit, "modified": True}


def test_without_git_there_is_no_commit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    assert git_commit() is None


def test_the_version_of_the_template(folder: Path) -> None:
    assert template_version() is None
    (folder / ".ft-template.json").write_text('{"template": "ft-template", "version": "1.2.3"}')
    assert template_version() == "ft-template 1.2.3"
    (folder / ".ft-template.json").write_text("[]")
    with pytest.raises(UserError, match=r"\.ft-template\.json: does not name"):
        template_version()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "en"),
        ("[project]\nname = 'a'\n", "en"),
        ("[tool.finetune]\nlanguage = 'zh'\n", "zh"),
        ("[tool.finetune]\nlanguage = 'fr'\n", "language is 'fr': write one of en, zh"),
        ("[tool", "not valid TOML"),
        (f"a = {'[' * 5000}", "not valid TOML"),
        ("tool = 5", "tool.finetune is no table"),
        ("[tool]\nfinetune = []", "tool.finetune is no table"),
    ],
)
def test_the_language_of_the_project(folder: Path, text: str | None, expected: str) -> None:
    if text is not None:
        (folder / "pyproject.toml").write_text(text)
    if len(expected) == 2:
        assert project_language() == expected
    else:
        with pytest.raises(UserError, match=expected):
            project_language()


def test_a_run_records_its_size_and_its_start(project: Project, finished: Callable[[str], None]) -> None:
    """The data of the tests have 10 rows for training and 5 for validation."""
    finished("text-classification")
    found: dict[str, Any] = json.loads(Path("runs/config/environment.json").read_text())
    assert found["examples"] == {"train": 10, "validation": 5}
    assert found["finetune"] == __version__
    started = datetime.fromisoformat(found["started"])
    assert timedelta(0) <= datetime.now().astimezone() - started < timedelta(hours=1)
    assert 0 < found["parameters"]["trainable"] == found["parameters"]["total"]


def test_tokens_are_those_of_an_epoch(project: Project) -> None:
    rows = [{"text": text, "label": label} for text, label in (("one", "a"), ("two three", "b"))]
    project.write("train.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    project.train(
        project.config("text-classification", method={"type": "head"}, data={"validation": None, "test": None})
    )
    found = json.loads(Path("runs/config/environment.json").read_text())
    assert found["examples"] == {"train": 2}
    tokenizer = AutoTokenizer.from_pretrained("runs/config/best")
    assert found["tokens"] == sum(len(tokenizer(row["text"])["input_ids"]) for row in rows)
    assert found["parameters"]["trainable"] < found["parameters"]["total"]
