"""dev.py: what it decides without installing anything; CI and test_end_to_end.py run the rest for real."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from ft_template.create.bake import REPOSITORY


@pytest.fixture(scope="module")
def dev() -> ModuleType:
    """The script as a module; it puts template/ on the path for itself, which is undone here."""
    path, writes_no_bytecode = list(sys.path), sys.dont_write_bytecode
    spec = importlib.util.spec_from_file_location("dev", REPOSITORY / "dev.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path[:], sys.dont_write_bytecode = path, writes_no_bytecode
    return module


@pytest.fixture
def checkout(dev: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small checkout in place of this one, in a folder that is called like a leftover; baking it writes one file."""
    tmp_path = tmp_path / "runs"
    tmp_path.mkdir()
    (tmp_path / "hooks").mkdir()
    (tmp_path / "template").mkdir()
    (tmp_path / "template" / "README.md").write_text("old", encoding="utf-8")
    (tmp_path / "cookiecutter.json").write_text("{}", encoding="utf-8")

    def bake(*command: str | Path, quiet: bool) -> None:
        project = Path(command[-1], "demo-project")
        project.mkdir()
        (project / "README.md").write_bytes((tmp_path / "template" / "README.md").read_bytes())

    monkeypatch.setattr(dev, "ROOT", tmp_path)
    monkeypatch.setattr(dev, "DEMO", tmp_path / "build" / "demo-project")
    monkeypatch.setattr(dev, "must", bake)
    return tmp_path


@pytest.mark.parametrize("arguments", [[], ["deploy"], ["demo", "extra"], ["lint", "extra"]])
def test_wrong_arguments_show_the_commands(dev: ModuleType, arguments: list[str]) -> None:
    script = [sys.executable, str(REPOSITORY / "dev.py"), *arguments]
    result = subprocess.run(script, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert all(f"dev.py {command} " in result.stderr for command in dev.COMMANDS)


def test_an_unknown_benchmark_is_answered_with_the_known_ones(
    dev: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dev.main(["bench", "nothing"]) == 2
    assert "bake" in capsys.readouterr().err


def test_the_fingerprint_follows_the_template_and_not_what_tools_leave_in_it(dev: ModuleType, checkout: Path) -> None:
    first = dev.template_fingerprint()
    (checkout / "template" / "__pycache__").mkdir()
    (checkout / "template" / "__pycache__" / "x.pyc").write_bytes(b"x")
    (checkout / "README.md").write_text("the repository's own", encoding="utf-8")
    assert dev.template_fingerprint() == first
    (checkout / "cookiecutter.json").write_text('{"a": "b"}', encoding="utf-8")
    assert dev.template_fingerprint() != first


def test_the_demo_is_stamped_out_once(dev: ModuleType, checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dev.stamp_out()
    (checkout / "build" / "demo-project" / "runs").mkdir()
    dev.stamp_out()
    assert capsys.readouterr().out == "Unchanged.\n"
    assert (checkout / "build" / "demo-project" / "runs").is_dir()


def test_a_new_template_makes_a_new_demo_and_keeps_its_environment(dev: ModuleType, checkout: Path) -> None:
    dev.stamp_out()
    demo = checkout / "build" / "demo-project"
    (demo / ".venv").mkdir()
    (demo / "runs").mkdir()
    (checkout / "template" / "README.md").write_text("new", encoding="utf-8")
    dev.stamp_out()
    assert (demo / "README.md").read_text(encoding="utf-8") == "new"
    assert (demo / ".venv").is_dir()
    assert not (demo / "runs").exists()
    assert sorted(path.name for path in (checkout / "build").iterdir()) == ["demo-project", "demo-project.stamp"]


def test_the_exit_code_of_a_command_comes_back(dev: ModuleType) -> None:
    assert dev.call(sys.executable, "-c", "raise SystemExit(7)") == 7
    with pytest.raises(dev.SetupError, match="exit code 7"):
        dev.must(sys.executable, "-c", "raise SystemExit(7)")
    with pytest.raises(KeyboardInterrupt):
        dev.must(sys.executable, "-c", "raise SystemExit(130)")


def test_commands_find_uv_in_the_repositorys_environment(dev: ModuleType) -> None:
    code = f"import os; raise SystemExit(os.environ['PATH'].split(os.pathsep)[0] != {str(dev.PYTHON.parent)!r})"
    assert dev.call(sys.executable, "-c", code) == 0


def test_lint_runs_all_checks_and_fails_if_one_fails(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def call(*command: str | Path) -> int:
        ran.append(str(command[2] if command[0] == dev.PYTHON else command[0]))
        return int(command[2:4] == ("ruff", "check"))

    monkeypatch.setattr(dev, "prepare", lambda extra: None)
    monkeypatch.setattr(dev, "call", call)
    monkeypatch.setenv("PYTHONPATH", "")
    assert dev.lint() == 1
    assert ran == ["ruff", "ruff", "mypy", "mypy", str(dev.LINT_IMPORTS)]


SAFE = {"name": "torch", "version": "2.13.0", "vulns": []}
HOLE = {"name": "x", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}
SKIPPED = {"name": "y", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("code", "found", "error", "shown"),
    [
        (0, [SAFE], "", "1 of 1 pins audited, 0 known vulnerabilities"),
        (1, [SAFE, HOLE], "", "x 1.0: PYSEC-1, mended by 1.1\n2 of 2 pins audited, 1 known vulnerabilities"),
        (1, [SAFE, SKIPPED], "", "1 pins are not audited (Dependency not found on PyPI)"),
        (1, None, "Traceback\nConnectionError: no route\n", "cannot be audited (ConnectionError: no route): check the"),
        (1, None, "", "cannot be audited (no message)"),
    ],
)
def test_an_audit_ends_in_a_count_or_a_sentence(
    code: int,
    found: list[dict[str, object]] | None,
    error: str,
    shown: str,
    dev: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = "" if found is None else json.dumps({"dependencies": found})
    monkeypatch.setattr(dev, "prepare", lambda extra: None)
    monkeypatch.setattr(dev.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, output, error))
    assert dev.main(["audit"]) == code
    printed = capsys.readouterr()
    assert shown in printed.out + printed.err


@pytest.mark.skipif(os.name == "nt", reason="CI runs on Linux")
def test_ci_runs_lint_tests_and_proofs() -> None:
    script = REPOSITORY / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    lines = script.read_text(encoding="utf-8").splitlines()
    commands = ["lint", "test", "proofs"]
    assert [line for line in lines if "dev.py" in line] == [f"python3 dev.py {command}" for command in commands]
