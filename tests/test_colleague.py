"""Whoever clones a project into a folder of another name presses the same buttons."""

from pathlib import Path

import pytest
from conftest import Bake, commit_all, files, git, write_files
from ft_template.check.check import check


@pytest.fixture
def clone(bake_project: Bake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What comes of a project that its author has opened in PyCharm, with an interpreter, and committed."""
    project = bake_project(editor="both")
    (iml,) = (project / ".idea").glob("*.iml")
    text = iml.read_text(encoding="utf-8")
    iml.write_text(text.replace('type="inheritedJdk"', 'type="jdk" jdkName="Python 3.13 (author)"'), encoding="utf-8")
    personal = ("misc.xml", "workspace.xml", "vcs.xml", "shelf/change.patch")
    write_files(project / ".idea", dict.fromkeys(personal, '<project version="4" />'))
    commit_all(project, "All that git takes")
    git("clone", "--quiet", project, tmp_path / "another name")
    return tmp_path / "another name"


def test_everything_is_there_but_what_is_personal(clone: Path, bake_project: Bake, tmp_path: Path) -> None:
    fresh = bake_project(tmp_path / "fresh", editor="both")
    cloned = {name for name in files(clone) if not name.startswith(".git/")}

    assert cloned == set(files(fresh))


def test_the_clone_has_no_fault(clone: Path) -> None:
    """The author's interpreter is noted; on another machine its name counts as none, and .venv is looked for."""
    found = check(clone)

    assert [(fault.rule, fault.note) for fault in found] == [("module.interpreter-named", True)]
