"""`ft-template check --run` on a complete project, and its messages for failed starts."""

import json
import os
import site
import subprocess
import sys
import time
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
from conftest import files, write_files
from front_end import ft_template
from ft_template.check.project.project import Project
from ft_template.check.run.start import StartResult, start_all
from ft_template.create.bake import bake
from test_check_command import IML, MODULES
from test_companion import EXAMPLES, alike

PYTHON = Path(sys.executable)


# ---------------------------------------------------------------------------------------------- a project as it is made


@pytest.fixture(scope="module")
def project(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With little data and few tests, and an environment that finds the package as an editable installation does."""
    root = bake(tmp_path_factory.mktemp("started") / "täst o'neil", {"environment": "none"}, template=repository)
    for path in (root / "data/demo").glob("*.jsonl"):
        path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:48]), encoding="utf-8")
    for path in (root / "tests").glob("test_*.py"):
        if path.name not in {"test_batching.py", "test_serving.py"}:  # proofs of serving import the latter
            path.unlink()
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", root / ".venv"], check=True)
    (packages,) = (root / ".venv").rglob("site-packages")
    here = [folder for folder in site.getsitepackages() if Path(folder).is_dir()]
    (packages / "installed.pth").write_text("\n".join([*here, str(root / "src")]), encoding="utf-8")
    return root


def check(*options: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    # Empty counts as not set: otherwise each start would read all sources anew.
    variables = {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}
    return ft_template("check", folder, *options, cwd=folder.parent, **variables)


def test_everything_that_can_be_pressed_starts(project: Path) -> None:
    before = files(project)
    done = check("--run", "--json", folder=project)

    document = json.loads(done.stdout)
    assert [start for start in document["starts"] if start["error"]] == []
    (example,) = [example for example in EXAMPLES if "starts" in example]
    assert all(alike(example["starts"][0], start) for start in document["starts"]), "as docs/companion.md has it"
    started = {start["name"] for start in document["starts"]}
    programs = ("finetune", "pytest", "setup_env.py", "tensorboard.main", "torch.distributed.run")
    in_terminal = {f"{name}, in a terminal" for name in programs}
    assert started == {found.name for found in Project(project).configurations} | in_terminal
    assert (done.returncode, done.stderr) == (0, "")
    assert files(project) == before, "the user's project is left alone"


# ------------------------------------------------------------------------------------------------- starts that go wrong


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A project without torch: scripts only."""
    root = tmp_path / "small"
    write_files(root, {".idea/modules.xml": MODULES, ".idea/p.iml": IML, "src/package/__init__.py": ""})
    (root / ".idea/runConfigurations").mkdir()
    (root / "tests").mkdir()
    return root


def add(root: Path, name: str, code: str, before: str = "", **given: str) -> None:
    """A script and the configuration that starts it."""
    (root / f"{name}.py").write_text(code)
    task = f'<option name="RunConfigurationTask" run_configuration_name="{before}" run_configuration_type="{KIND}" />'
    options = {"SCRIPT_NAME": f"$PROJECT_DIR$/{name}.py", "WORKING_DIRECTORY": "$PROJECT_DIR$", **given}
    lines = "".join(f"<option name={quoteattr(key)} value={quoteattr(value)} />" for key, value in options.items())
    (root / f".idea/runConfigurations/{name}.xml").write_text(
        '<component name="ProjectRunConfigurationManager">'
        f'<configuration default="false" name="{name}" type="{KIND}" factoryName="Python">'
        f'{lines}<method v="2">{task if before else ""}</method></configuration></component>'
    )


KIND = "PythonConfigurationType"
PATIENCE = 900
"""Seconds for anything that ends by itself: only what hangs takes so long, also on a busy machine."""


def start(root: Path, seconds: float = PATIENCE) -> dict[str, StartResult]:
    return {found.name: found for found in start_all(root, PYTHON, seconds, lambda _: None)}


def test_a_failure_shows_its_last_lines(small: Path) -> None:
    add(small, "fails", "raise SystemExit('no such thing')")
    add(small, "works", "print('fine')")
    found = start(small)

    assert (found["fails"].error, found["fails"].output) == ("it exits with code 1", "no such thing")
    assert (found["works"].error, found["works"].output) == ("", "")


def test_configurations_of_plugins_are_not_started(small: Path) -> None:
    """Neither by themselves, nor as members and before-launch tasks of others."""
    add(small, "works", "print('fine')", before="image")
    path = small / ".idea/runConfigurations/works.xml"
    path.write_text(path.read_text().replace(f'type="{KIND}" />', 'type="docker-deploy" />'))
    members = f'<toRun name="image" type="docker-deploy" /><toRun name="works" type="{KIND}" />'
    for name, kind, inside in (("image", "docker-deploy", ""), ("both", "CompoundRunConfigurationType", members)):
        (small / f".idea/runConfigurations/{name}.xml").write_text(
            '<component name="ProjectRunConfigurationManager">'
            f'<configuration default="false" name="{name}" type="{kind}">{inside}<method v="2" /></configuration>'
            "</component>"
        )
    found = start(small)

    assert {name: result.error for name, result in found.items()} == {
        "works": "",
        "both": "",
        "works.py, in a terminal": "",
    }


def test_an_import_that_only_pycharm_finds_shows(small: Path) -> None:
    add(small, "imports", "import package")
    found = start(small)

    assert found["imports"].error == ""
    assert found["imports.py, in a terminal"].error == "it exits with code 1"
    assert "No module named 'package'" in found["imports.py, in a terminal"].output


@pytest.mark.skipif(os.name == "nt", reason="looks at processes by POSIX signals")
def test_what_takes_too_long_is_stopped_with_all_that_it_started(small: Path, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    pid.touch()
    sleep = "import time; time.sleep(3600)"
    child = f"import subprocess, sys; c = subprocess.Popen([sys.executable, '-c', {sleep!r}])"
    add(small, "hangs", f"{child}; open({str(pid)!r}, 'w').write(str(c.pid)); {sleep}")
    seconds = 1
    while not pid.read_text():  # on a busy machine it takes longer until the child runs
        seconds *= 2
        assert start(small, seconds)["hangs"].error == f"it still runs after {seconds} s"

    deadline = time.monotonic() + PATIENCE
    while is_running(int(pid.read_text())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(int(pid.read_text()))


def is_running(pid: int) -> bool:
    """A zombie that its new parent has yet to reap runs no longer."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_server_has_to_answer(small: Path) -> None:
    serving = (
        "import http.server as h; s = h.HTTPServer(('127.0.0.1', 0), h.SimpleHTTPRequestHandler);"
        "print(f'TensorBoard 2.0 at http://localhost:{s.server_port}/', flush=True); s.serve_forever()"
    )
    package = small / "src/tensorboard"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "main.py").write_text(
        f"import sys\nif '--silent' in sys.argv: raise SystemExit\nif __name__ == '__main__':\n exec({serving!r})\n"
    )
    module = {"MODULE_MODE": "true", "SCRIPT_NAME": "tensorboard.main"}
    add(small, "board", "", **module)
    add(small, "silent", "", PARAMETERS="--silent", **module)
    found = start(small)

    assert found["board"].error == ""
    assert found["silent"].error == "it exits with code 0 before it answers on this machine"


def test_what_has_to_succeed_first_does(small: Path) -> None:
    add(small, "prepare", "open('prepared', 'w').close()")
    add(small, "ask", "assert open('prepared')", before="prepare")
    add(small, "break", "raise SystemExit(3)")
    add(small, "after", "", before="break")
    found = start(small)

    assert (found["prepare"].error, found["ask"].error) == ("", "")
    assert found["after"].error == "'break' has to succeed first"
    assert not (small / "prepared").exists(), "it runs in a copy"


@pytest.mark.skipif(os.name == "nt", reason="there is no terminal to open on Windows")
def test_a_terminal_is_emulated_where_pycharm_does(small: Path) -> None:
    add(small, "shows", "import sys; sys.exit(0 if sys.stdout.isatty() else 4)", EMULATE_TERMINAL="true")
    add(small, "plain", "import sys; sys.exit(4 if sys.stdout.isatty() else 0)")
    found = start(small)

    assert (found["shows"].error, found["plain"].error) == ("", "")


def test_without_an_interpreter_it_says_what_to_do(project: Path) -> None:
    done = check("--run", "--python", "none", folder=project)

    assert done.returncode == 2
    assert done.stderr.startswith("error: none: no such interpreter: run the project")


def test_what_has_faults_is_not_started(small: Path) -> None:
    add(small, "marks", "open('marked', 'w').close()")
    done = check("--run", "--python", PYTHON, folder=small)

    assert (done.returncode, "starts" in done.stdout.splitlines()[-1]) == (1, False)
