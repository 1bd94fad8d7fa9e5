"""The hooks as Python modules, which they are before cookiecutter renders them, and as cookiecutter runs them."""

import ast
import json
import re
import subprocess
import sys
import venv
from pathlib import Path

import post_gen_project as post
import pre_gen_project as pre
import pytest
from conftest import LINK, Bake, files
from ft_template.create.bake import REPOSITORY, bake

HOOKS = sorted((REPOSITORY / "hooks").glob("*.py"))


@pytest.mark.parametrize("hook", HOOKS, ids=lambda path: path.name)
def test_hooks_need_the_standard_library_only(hook: Path) -> None:
    """Cookiecutter runs a hook as a lone file, with its own interpreter: nothing else can be imported."""
    imported = {
        (alias.name if isinstance(node, ast.Import) else str(node.module)).partition(".")[0]
        for node in ast.walk(ast.parse(hook.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }

    assert imported <= sys.stdlib_module_names


def test_no_hook_before_the_questions() -> None:
    """With a pre_prompt hook cookiecutter first copies the whole repository: gigabytes, where it holds a .venv."""
    assert [hook.stem for hook in HOOKS] == ["post_gen_project", "pre_gen_project"]


# --- the link ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A checkout where the link came out as a text file."""
    (tmp_path / "template").mkdir()
    (tmp_path / "template/file.txt").write_text("first")
    (tmp_path / LINK).write_text("template")
    return tmp_path


def test_link_is_repaired(broken: Path) -> None:
    pre.repair_link(broken)

    assert (broken / LINK).is_symlink()
    assert (broken / LINK / "file.txt").read_text() == "first"


def test_a_copy_that_stands_in_for_the_link_is_kept_fresh(broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("a required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    pre.repair_link(broken)
    assert files(broken / LINK) == {"file.txt": b"first"}

    (broken / "template/file.txt").rename(broken / "template/renamed.txt")
    pre.repair_link(broken)
    assert files(broken / LINK) == {"renamed.txt": b"first"}


def test_repository_is_found_from_the_folder_of_the_command(broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PWD", str(broken.parent))
    answers = {"_repo_dir": broken.name, "_output_dir": "/nowhere"}

    assert pre.find_repository(answers) == broken
    assert pre.find_repository({**answers, "_repo_dir": "elsewhere"}) is None
    assert pre.find_repository({}) is None, "cruft does not say where the repository is"


# --- the environment --------------------------------------------------------------------------------------------------


def test_empty_environment_has_a_python_and_no_packages(bake_project: Bake) -> None:
    project = bake_project(environment="empty")
    without_environment = {name: text for name, text in files(project).items() if not name.startswith(".venv/")}
    python = project / ".venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    command = "import sys; print(sys.prefix); import importlib.metadata as m; print(len(list(m.distributions())))"
    prefix, packages = subprocess.check_output([python, "-c", command], text=True).split()

    assert Path(prefix).samefile(project / ".venv")
    assert packages == "0"
    assert without_environment == files(bake_project(project.parent / "other", environment="none"))


def test_a_second_run_changes_nothing(bake_project: Bake) -> None:
    """The hook as cookiecutter renders and runs it, once more in the finished project."""
    project = bake_project(environment="empty")
    before = {path: path.lstat().st_mtime_ns for path in project.rglob("*")}
    answers = {"environment": "empty", "project_slug": project.name, "_output_dir": str(project.parent)}
    hook = (REPOSITORY / "hooks/post_gen_project.py").read_text(encoding="utf-8")
    again = hook.replace("{{ cookiecutter | tojson }}", json.dumps(answers))
    output = subprocess.check_output([sys.executable, "-c", again], cwd=project, text=True)

    assert "my-project is ready" in output
    assert {path: path.lstat().st_mtime_ns for path in project.rglob("*")} == before


def test_caches_of_the_template_do_not_come_along(tmp_path: Path) -> None:
    for name in ("src/finetune/__pycache__/config.pyc", ".ruff_cache/x/y", ".pytest_cache/z", "src/finetune/train.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    post.remove_caches(tmp_path)

    assert set(files(tmp_path)) == {"src/finetune/train.py"}
    assert not (tmp_path / "src/finetune/__pycache__").exists()


def test_a_failed_environment_leaves_none_and_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half_made(folder: Path, **_: object) -> None:
        folder.mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(venv, "create", half_made)
    trouble = post.create_environment(tmp_path, "empty")

    assert trouble is not None
    assert "No space left on device" in trouble
    assert "setup_env.py" in trouble
    assert not (tmp_path / ".venv").exists()


def test_an_old_python_makes_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    trouble = post.create_environment(tmp_path, "empty")

    assert trouble is not None
    assert "3.10" in trouble
    assert "3.11" in trouble
    assert not (tmp_path / ".venv").exists()


def test_installation_runs_in_view_and_its_failure_keeps_the_project(
    repository: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    template = tmp_path / "ft-template"
    subprocess.run(["cp", "-R", repository, template], check=True)
    (template / "template/setup_env.py").write_text("print('installing'); raise SystemExit(3)")
    project = bake(tmp_path, {"environment": "install"}, template=template)
    output = capfd.readouterr().out

    assert (project / "pyproject.toml").is_file()
    assert output.index("installing") < output.index("did not finish (3)") < output.index("my-project is ready")


@pytest.mark.parametrize(
    ("environment", "command"),
    [
        ("empty", "setup_env.py"),
        ("install", None),
        ("none", 'python -m pip install -e ".[dev]" -c constraints.txt'),
    ],
)
def test_next_steps_are_short_and_name_real_things(environment: str, command: str | None) -> None:
    text = post.next_steps_text("my-project", environment)
    *_, in_terminal = text.split("In a terminal")
    configurations = {path.stem for path in (REPOSITORY / ".idea-sample/runConfigurations").glob("*.xml")}

    assert text.isascii(), "a console of another encoding must show it"
    assert len(text.strip().splitlines()) <= 11
    assert in_terminal.splitlines()[-1].endswith("python -m finetune train configs/demo.yaml")
    assert command is None or command in in_terminal
    assert len(in_terminal.strip().splitlines()) == (2 if command is None else 3)
    for name in re.findall('Run "(.+?)"', text):
        assert re.sub(r"\W", "_", name) in configurations
