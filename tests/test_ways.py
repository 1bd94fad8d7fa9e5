"""However the template is fetched, the project is the same, byte for byte."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import LINK, QUIET, commit_all, cruft, files, git
from front_end import ft_template
from ft_template.create.bake import bake

ANSWERS = {"environment": "none", "project_name": "One & the same", "task": "token-classification"}


def cookiecutter(template: str | Path, cwd: Path, *flags: str) -> Path:
    """The command as a user types it, in the folder that receives the project."""
    write_settings(cwd)
    answers = [f"{key}={value}" for key, value in ANSWERS.items()]
    command = [sys.executable, "-m", "cookiecutter", str(template), "--no-input", *flags, *answers]
    environment = os.environ | QUIET | {"COOKIECUTTER_CONFIG": ".settings.yaml", "PWD": str(cwd)}
    result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return cwd / "one-the-same"


def write_settings(cwd: Path) -> None:
    """What cookiecutter reads of its user, in a new folder: the abbreviation leads to the folder above."""
    settings = {"replay_dir": str(cwd / ".replay"), "cookiecutters_dir": str(cwd / ".cookiecutters")}
    settings["abbreviations"] = {"gh": f"file://{cwd.parent.as_posix()}/{{0}}.git"}
    cwd.mkdir()
    (cwd / ".settings.yaml").write_text(json.dumps(settings), encoding="utf-8")


def front_end(cwd: Path, *flags: str | Path) -> Path:
    """`ft-template new` with the same answers; the bundled template, if none is named."""
    write_settings(cwd)
    answers = [f"--set={key}={value}" for key, value in ANSWERS.items()]
    result = ft_template("new", *flags, *answers, cwd=cwd, **(QUIET | {"COOKIECUTTER_CONFIG": ".settings.yaml"}))
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in cwd.iterdir()) == [".settings.yaml", "one-the-same"]
    return cwd / "one-the-same"


@pytest.fixture(scope="module")
def expected(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return files(bake(tmp_path_factory.mktemp("expected"), ANSWERS, template=repository))


@pytest.fixture(scope="module")
def hub(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that plays GitHub: org/ft-template.git lies in it."""
    folder = tmp_path_factory.mktemp("hub")
    work = tmp_path_factory.mktemp("work") / "ft-template"
    subprocess.run(["cp", "-R", repository, work], check=True)
    commit_all(work, "Template")
    git("clone", "--quiet", "--bare", work, folder / "org/ft-template.git")
    return folder


@pytest.fixture
def checkout_without_links(hub: Path, tmp_path: Path) -> Path:
    """What git makes on Windows."""
    git("-c", "core.symlinks=false", "clone", "--quiet", hub / "org/ft-template.git", tmp_path / "ft-template")
    assert not (tmp_path / "ft-template" / LINK).is_symlink()
    return tmp_path / "ft-template"


def test_by_path(repository: Path, tmp_path: Path, expected: dict[str, bytes]) -> None:
    assert files(cookiecutter(repository, tmp_path / "out")) == expected


def test_by_abbreviation(hub: Path, expected: dict[str, bytes]) -> None:
    assert files(cookiecutter("gh:org/ft-template", hub / "out")) == expected


def test_by_zip_archive(hub: Path, tmp_path: Path, expected: dict[str, bytes]) -> None:
    archive = tmp_path / "ft-template.zip"
    git("archive", "--prefix=ft-template-main/", "--output", archive, "main", cwd=hub / "org/ft-template.git")

    assert files(cookiecutter(archive, tmp_path / "out")) == expected


def test_checkout_without_links(checkout_without_links: Path, tmp_path: Path, expected: dict[str, bytes]) -> None:
    assert files(cookiecutter(checkout_without_links, tmp_path / "first")) == expected
    assert files(cookiecutter(checkout_without_links, tmp_path / "second")) == expected


def test_checkout_without_links_by_relative_path(
    checkout_without_links: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    project = cookiecutter(f"../{checkout_without_links.name}", tmp_path / "out", "--output-dir", "deeper")

    assert files(project.parent / "deeper" / project.name) == expected


def test_without_hooks(repository: Path, tmp_path: Path, expected: dict[str, bytes]) -> None:
    assert files(cookiecutter(repository, tmp_path / "out", "--accept-hooks", "no")) == expected


def test_by_cruft(hub: Path, tmp_path: Path, expected: dict[str, bytes]) -> None:
    """Cruft renders by itself, and runs the hooks also in folders that it throws away: it gets no environment."""
    answers = json.dumps({**ANSWERS, "environment": "empty"})
    template = (hub / "org/ft-template.git").as_uri()
    result = cruft("create", template, "--no-input", "--extra-context", answers, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    given = files(tmp_path / "one-the-same")
    del given[".cruft.json"]

    assert given == expected


def test_by_the_front_end(repository: Path, tmp_path: Path, expected: dict[str, bytes]) -> None:
    assert files(front_end(tmp_path / "bundled")) == expected
    assert files(front_end(tmp_path / "path", "--template", repository)) == expected


def test_by_the_front_end_from_elsewhere(
    hub: Path, checkout_without_links: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    archive = tmp_path / "ft-template.zip"
    git("archive", "--prefix=ft-template-main/", "--output", archive, "main", cwd=hub / "org/ft-template.git")

    assert files(front_end(hub / "abbreviation", "--template", "gh:org/ft-template")) == expected
    assert files(front_end(tmp_path / "zip", "--template", archive)) == expected
    assert files(front_end(tmp_path / "relative", "--template", f"../{checkout_without_links.name}")) == expected


def test_by_the_record_of_another_project(tmp_path: Path, expected: dict[str, bytes]) -> None:
    record = tmp_path / "answers.json"
    record.write_bytes(expected[".ft-template.json"])

    assert files(front_end(tmp_path / "out", "--answers", record)) == expected


def test_the_repository_is_left_as_it_was(repository: Path, tmp_path: Path) -> None:
    before = files(repository)
    cookiecutter(repository, tmp_path / "out")

    assert files(repository) == before
