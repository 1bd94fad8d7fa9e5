"""setup_env.py: what it decides; its runs with fake installers; real installations of a tiny project from wheels."""

import ast
import contextlib
import hashlib
import importlib.util
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import ModuleType
from typing import Any

import pip
import pytest
from ft_template.create.bake import REPOSITORY

SCRIPT = REPOSITORY / "template" / "setup_env.py"
WINDOWS = os.name == "nt"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("setup_env", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["setup_env"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


setup_env = load()


# ------------------------------------------------------------------------------------------------- what it decides


def test_an_old_python_can_read_the_script() -> None:
    ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 8))


def test_an_old_python_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(setup_env, "OLDEST_PYTHON", (99, 0))
    assert setup_env.main() == 1
    assert capsys.readouterr().err.strip().startswith("Python 3.11 or newer is needed")


@pytest.mark.parametrize(
    ("windows", "environment", "python"),
    [
        (False, PurePosixPath("/home/o'neil/my täst/.venv"), "/home/o'neil/my täst/.venv/bin/python"),
        (True, PureWindowsPath(r"C:\Users\Ö N\.venv"), r"C:\Users\Ö N\.venv\Scripts\python.exe"),
    ],
)
def test_where_an_environment_keeps_python(windows: bool, environment: PurePosixPath, python: str) -> None:
    assert str(setup_env.program_in(environment, "python", windows)) == python


CPU, AUTO, INDEX_DECIDES = ["--torch-backend", "cpu"], ["--torch-backend", "auto"], list[str]()


@pytest.mark.usefixtures("plain_variables")
@pytest.mark.parametrize(
    ("accelerator", "system", "chosen_by_user", "choice"),
    [
        ("auto", "Linux", False, AUTO),
        ("cpu", "Linux", False, CPU),
        ("cuda", "Linux", False, INDEX_DECIDES),
        ("auto", "Windows", False, AUTO),
        ("cpu", "Windows", False, CPU),
        ("cuda", "Windows", False, AUTO),
        ("cpu", "Darwin", False, INDEX_DECIDES),
        ("auto", "Darwin", False, INDEX_DECIDES),
        ("cpu", "Linux", True, INDEX_DECIDES),
        ("cuda", "Windows", True, INDEX_DECIDES),
    ],
)
def test_torch_build(accelerator: str, system: str, chosen_by_user: bool, choice: list[str]) -> None:
    variables = {"UV_INDEX": "https://index.example/simple"} if chosen_by_user else {"UV_HTTP_TIMEOUT": "15"}
    assert setup_env.torch_choice(accelerator, system, variables, []) == choice
    if chosen_by_user:
        assert setup_env.torch_choice(accelerator, system, {}, ["--no-index"]) == choice


@pytest.mark.parametrize("name", ["UV_DEFAULT_INDEX", "UV_TORCH_BACKEND"])
def test_a_users_variable_decides_the_torch_build(plain_variables: pytest.MonkeyPatch, name: str) -> None:
    plain_variables.setenv(name, "mine")
    assert setup_env.torch_choice("cpu", "Linux", {}, []) == []


def test_pip_options_follow_the_precedence_of_pip() -> None:
    listing = (
        ":env:.index-url='https://from.variable/simple'\n"
        "global.find-links='/wheels\\n/more'\n"
        "global.index-url='https://from.global/simple'\n"
        "global.timeout='60'\n"
        "install.index-url='https://from.install/simple'\n"
        "install.timeout='90'\n"
        "list.format='columns'\n"
    )
    assert setup_env.pip_options(listing) == {
        "index-url": "https://from.variable/simple",
        "find-links": "/wheels\n/more",
        "timeout": "90",
    }


@pytest.fixture
def plain_variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No variables of pip's or uv's."""
    for name in list(os.environ):
        if name.startswith(("UV_", "PIP_")):
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.usefixtures("plain_variables")
def test_pip_sources_are_said_to_uv(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels, new"
    wheels.mkdir()
    variables, flags = setup_env.uv_sources(
        {
            "index-url": "https://me:secret@index.example/simple",
            "extra-index-url": "https://one.example/simple\nhttps://two.example/simple",
            "find-links": f"{wheels.as_uri()} /not/there https://three.example/wheels",
            "trusted-host": "one.example two.example:8080",
            "cert": "/etc/my certificates.pem",
            "proxy": "http://proxy.example:3128",
            "default-timeout": "15.0",
            "constraint": "/a.txt /b.txt",
            "no-index": "true",
        },
        tmp_path,
    )
    expected = {
        "UV_DEFAULT_INDEX": "https://me:secret@index.example/simple",
        "UV_INDEX": "https://one.example/simple https://two.example/simple",
        "UV_FIND_LINKS": f"{tmp_path.as_uri()}/wheels%2C%20new,https://three.example/wheels",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_INSECURE_HOST": "one.example two.example:8080",
        "SSL_CERT_FILE": "/etc/my certificates.pem",
        "ALL_PROXY": "http://proxy.example:3128",
        "UV_HTTP_TIMEOUT": "15",
    }
    assert expected.items() <= variables.items()
    assert flags == ["-c", "/a.txt", "-c", "/b.txt", "--no-index"]


@pytest.mark.usefixtures("plain_variables")
def test_a_timeout_or_a_missing_folder_is_no_source(tmp_path: Path) -> None:
    variables, flags = setup_env.uv_sources({"timeout": "60", "find-links": "/not/there"}, tmp_path)
    assert setup_env.torch_choice("cpu", "Linux", variables, flags) == CPU
    assert "UV_FIND_LINKS" not in variables
    assert "UV_INDEX_STRATEGY" not in variables


def test_what_the_user_told_uv_stands(plain_variables: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plain_variables.setenv("UV_DEFAULT_INDEX", "https://uv.example/simple")
    variables, _ = setup_env.uv_sources({"index-url": "https://pip.example/simple"}, tmp_path)
    assert "UV_DEFAULT_INDEX" not in variables


@pytest.mark.parametrize(
    ("output", "failure", "part"),
    [
        ("error: Failed to write: No space left on device (os error 28)", "disk", "free some space"),
        (
            "error: Failed to fetch: `https://me:pass@index.example/simple/torch/`\n"
            "  Caused by: invalid peer certificate: UnknownIssuer",
            "certificate",
            "index.example ",
        ),
        (
            "ERROR: 401 Client Error: Unauthorized for url: https://index.example/simple/",
            "login",
            "index.example refuses",
        ),
        (
            "error: Request failed after 3 retries in 7.6s\n"
            "  cause: Failed to fetch: http://127.0.0.1:9/simple/rich/\n  cause: client error (Connect)\n"
            "  cause: dns error",
            "network",
            "127.0.0.1:9 cannot be reached",
        ),
        (
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError'\n"
            "ERROR: No matching distribution found for rich",
            "network",
            "The package index cannot be reached",
        ),
        ("error: failed to remove file: Access is denied. (os error 5)", "rights", "end programs"),
        ("/usr/bin/python3: No module named ensurepip", "ensurepip", "apt install python3-venv"),
        ("  x No solution found when resolving dependencies:", "versions", "pinned versions"),
        ("ImportError: DLL load failed while importing _C", "torch", "Visual C++"),
        ("Working\nerror: something new\n  hint: none", "unknown", "error: something new"),
        (
            "Failed to download `x==1`\n  ╰─▶ Hash mismatch for `x==1`",
            "hashes",
            "not the file that hashes.txt pins",
        ),
        ("", "unknown", "no message"),
        ("error: odd reply of https://me:pass@host/simple", "unknown", "odd reply of https://host/simple"),
    ],
)
def test_a_failure_becomes_a_sentence(output: str, failure: str, part: str) -> None:
    found, sentence = setup_env.explain(output)
    assert found == failure
    assert part in sentence
    assert "pass@" not in sentence
    assert "\n" not in sentence


def pyproject(folder: Path, text: str) -> Path:
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return folder


def test_a_wrong_accelerator_is_the_users_error(tmp_path: Path) -> None:
    pyproject(tmp_path, '[tool.finetune]\naccelerator = "tpu"\n')
    with pytest.raises(setup_env.SetupError, match="'tpu'; choose one of auto, cuda, cpu") as caught:
        setup_env.Project.read(tmp_path)
    assert caught.value.code == 2


@pytest.mark.parametrize("text", ["tool = 5\n", "tool = []\n", "[tool]\nfinetune = 5\n", "[[tool.finetune]]\n"])
def test_a_setting_that_is_no_table_is_the_users_error(text: str, tmp_path: Path) -> None:
    pyproject(tmp_path, text)
    with pytest.raises(setup_env.SetupError, match=r"tool\.finetune is no table") as caught:
        setup_env.Project.read(tmp_path)
    assert caught.value.code == 2


@pytest.mark.parametrize("text", ["[project\n", f"a = {'[' * 5000}\n", "a = 2001-99-99\n", f"a = {'9' * 5000}\n", "\0"])
def test_a_broken_pyproject_is_the_users_error(text: str, tmp_path: Path) -> None:
    pyproject(tmp_path, text)
    with pytest.raises(setup_env.SetupError, match=r"pyproject\.toml cannot be read") as caught:
        setup_env.Project.read(tmp_path)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    "text", ["", "5", "[]", "{}", '{"complete": true, "installed": 5}', '{"facts": []}', '{"x": 1}', "[" * 5000]
)
def test_a_broken_record_of_the_installation_counts_as_none(text: str, tmp_path: Path) -> None:
    project = setup_env.Project.read(pyproject(tmp_path, ""))
    project.environment.mkdir()
    (project.environment / "setup.json").write_text(text, encoding="utf-8")
    assert setup_env.State.load(project) == setup_env.State()


def test_the_fingerprint_follows_pins_and_place(tmp_path: Path) -> None:
    project = setup_env.Project.read(pyproject(tmp_path, ""))
    first = project.fingerprint()
    assert project.fingerprint() == first
    (tmp_path / "constraints.txt").write_text("torch==2.13.0", encoding="utf-8")
    assert project.fingerprint() != first
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert setup_env.Project.read(pyproject(elsewhere, "")).fingerprint() != first


@pytest.mark.parametrize(
    ("made_for", "moved"), [("{environment}", False), ("/elsewhere/.venv", True), ("{environment}.old", True)]
)
def test_a_moved_environment_is_known(tmp_path: Path, made_for: str, moved: bool) -> None:
    project = setup_env.Project.read(pyproject(tmp_path, ""))
    project.environment.mkdir()
    command = f"command = /usr/bin/python3 -m venv {made_for.format(environment=project.environment)}\n"
    (project.environment / "pyvenv.cfg").write_text("home = /usr/bin\n" + command, encoding="utf-8")
    assert setup_env.was_moved(project) is moved


# ------------------------------------------------------------------------------------------------ running a command


@pytest.fixture
def project(tmp_path: Path) -> Any:
    """An empty project with a real, empty environment."""
    project = setup_env.Project.read(pyproject(tmp_path, ""))
    venv.create(project.environment, symlinks=not WINDOWS)
    return project


def test_what_an_installer_prints_is_shown_logged_and_returned(project: Any) -> None:
    stream = io.StringIO()
    runner = setup_env.Runner(project, setup_env.Console(stream))
    assert runner.run(sys.executable, "-c", "print('one'); print('two')", show=True) == "one\ntwo\n"
    assert stream.getvalue() == "      one\n      two\n"
    assert runner.log.read_text(encoding="utf-8").endswith("\none\ntwo\n")


def test_a_command_that_fails_is_one_sentence_with_its_log(project: Any) -> None:
    runner = setup_env.Runner(project, setup_env.Console(io.StringIO()))
    with pytest.raises(setup_env.SetupError, match="free some space") as caught:
        runner.run(sys.executable, "-c", "import sys; sys.exit('No space left on device')")
    assert str(runner.log) in str(caught.value)
    assert "No space left" in runner.log.read_text(encoding="utf-8")
    assert caught.value.code == 1


def test_a_silent_command_is_said_to_be_running(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            if "still running (0." in text:
                (project.root / "seen").touch()
            return super().write(text)

    monkeypatch.setattr(setup_env, "HEARTBEAT", 0.01)
    console = setup_env.Console(Stream())
    console.step("Packages")
    waits = "import pathlib, time\nwhile not pathlib.Path('seen').exists(): time.sleep(0.01)"
    setup_env.Runner(project, console).run(sys.executable, "-c", waits)


INSTALLER = """
import pathlib, time
pathlib.Path("started").touch()
while not pathlib.Path("go on").exists(): time.sleep(0.01)
pathlib.Path("ended").touch()
"""
RUN = f"""
import pathlib, sys
sys.path.insert(0, {str(SCRIPT.parent)!r})
sys.dont_write_bytecode = True
import setup_env
project, console = setup_env.Project.read(pathlib.Path.cwd()), setup_env.Console(sys.stdout)
with setup_env.one_at_a_time(project, console):
    setup_env.Runner(project, console).run(sys.executable, "-c", {INSTALLER!r})
"""


@pytest.mark.skipif(WINDOWS, reason="there is no such lock")
def test_a_run_waits_for_the_installer_of_a_killed_one(project: Any) -> None:
    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            (project.root / "go on").touch()
            return super().write(text)

    with subprocess.Popen([sys.executable, "-c", RUN], cwd=project.root) as killed:
        while not (project.root / "started").exists():
            assert killed.poll() is None
            time.sleep(0.01)
        killed.kill()
    with setup_env.one_at_a_time(project, setup_env.Console(Stream())):
        assert (project.root / "ended").exists()


# -------------------------------------------------------------------------------------------------- fake installers


class Installers:
    """Stands in for the installers: each installation does what is next in `acts`, and without one, succeeds."""

    def __init__(self, project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.project, self.commands = project, list[str]()
        self.acts: list[str | type[BaseException]] = []
        self.run_for_real = setup_env.Runner.run
        monkeypatch.setattr(setup_env.Runner, "run", lambda runner, *command, **_: self.run(runner, *command))
        monkeypatch.setattr(setup_env, "find_uv", lambda *_: None)

    def package(self, name: str) -> Path:
        """The folder of an installed package."""
        root = self.project.packages
        return Path(root if WINDOWS else root / f"python3.{sys.version_info[1]}") / "site-packages" / name

    def run(self, runner: Any, *command: str | Path) -> str:
        if "install" not in command and "ensurepip" not in command:
            return str(self.run_for_real(runner, *command))
        name = "pip" if "ensurepip" in command else "alpha"
        self.commands.append(f"{Path(command[0]).stem} {name}")
        self.package(name).mkdir(parents=True, exist_ok=True)
        (self.package(name) / "__main__.py").write_text("print()", encoding="utf-8")
        act = self.acts.pop(0) if name == "alpha" and self.acts else "print()"
        if isinstance(act, type):
            raise act
        return str(self.run_for_real(runner, sys.executable, "-c", act))

    def set_up(self) -> tuple[str, dict[str, Any]]:
        """What a run prints, and the state that it leaves."""
        stream = io.StringIO()
        try:
            setup_env.set_up(self.project, setup_env.Console(stream))
        finally:
            self.state = json.loads((self.project.environment / "setup.json").read_text(encoding="utf-8"))
        return stream.getvalue(), self.state

    def change_pins(self, pins: str = "alpha==2.0") -> None:
        (self.project.root / "constraints.txt").write_text(pins, encoding="utf-8")


@pytest.fixture
def installers(project: Any, monkeypatch: pytest.MonkeyPatch) -> Installers:
    """The project is installed."""
    installers = Installers(project, monkeypatch)
    _, state = installers.set_up()
    assert state["complete"]
    installers.package("users_own").mkdir()
    return installers


NO_NETWORK = "import sys; sys.exit('dns error')"
CRASH = "import sys; sys.exit('error: something new')"


@pytest.mark.parametrize("fact", [{"python": "3.11.0a1"}, {"torch": "2.0.0"}])
def test_another_python_or_torch_than_was_installed_is_noticed(installers: Installers, fact: dict[str, str]) -> None:
    changed = {**installers.state, "facts": {**installers.state["facts"], **fact}}
    (installers.project.environment / "setup.json").write_text(json.dumps(changed), encoding="utf-8")
    installers.set_up()
    assert installers.commands[-1:] == installers.commands[1:2] == ["python alpha"]
    assert len(installers.commands) == 3


def test_an_extra_is_added_to_the_installed_ones(installers: Installers) -> None:
    first = installers.project
    installers.project = setup_env.Project.read(first.root, extra="lint")
    _, state = installers.set_up()
    assert set(state["installed"]) == {"dev", "lint"}
    installers.project = first
    assert installers.set_up()[0] == ""


def test_a_failed_download_leaves_the_environment_as_it_was(installers: Installers) -> None:
    before = installers.state
    installers.change_pins()
    installers.acts = [NO_NETWORK]
    with pytest.raises(setup_env.SetupError, match="cannot be reached"):
        installers.set_up()
    assert installers.state == before
    said, state = installers.set_up()
    assert "installed anew" not in said
    assert state["complete"]
    assert state["installed"] != before["installed"]
    assert installers.package("users_own").exists()


@pytest.mark.parametrize(
    ("act", "error"), [(CRASH, "SetupError"), (KeyboardInterrupt, "KeyboardInterrupt"), (OSError, "OSError")]
)
def test_an_installation_that_may_be_half_written_is_made_anew(
    installers: Installers, act: str | type[BaseException], error: str
) -> None:
    installers.change_pins()
    installers.acts = [act]
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        installers.set_up()
    assert type(caught.value).__name__ == error
    assert installers.state["complete"] is False
    installers.package("half_written").mkdir()
    said, state = installers.set_up()
    assert "all packages are installed anew" in said
    assert not installers.package("half_written").exists()
    assert installers.package("alpha").exists()
    assert state["complete"]
    assert installers.set_up()[0] == ""


def test_an_installation_that_was_not_completed_is_not_taken_for_finished(installers: Installers) -> None:
    """Also where its pins are those of the last complete one."""
    state = {**installers.state, "complete": False}  # as a kill leaves it
    (installers.project.environment / "setup.json").write_text(json.dumps(state), encoding="utf-8")
    assert "all packages are installed anew" in installers.set_up()[0]


@pytest.mark.parametrize("failures", [[CRASH, NO_NETWORK], [NO_NETWORK, CRASH], [NO_NETWORK, NO_NETWORK]])
def test_pip_tries_where_uv_fails(installers: Installers, monkeypatch: pytest.MonkeyPatch, failures: list[str]) -> None:
    monkeypatch.setattr(setup_env, "find_uv", lambda *_: Path("uv"))
    installers.change_pins()
    installers.acts = [*failures]
    with pytest.raises(setup_env.SetupError):
        installers.set_up()
    assert installers.commands[-2:] == ["uv alpha", "python alpha"]
    assert installers.state["complete"] is (CRASH not in failures)
    installers.acts = [failures[0]]
    assert installers.set_up()[1]["complete"]
    installers.change_pins("alpha==3.0")
    installers.acts = ["import sys; sys.exit('No space left on device')"]
    with pytest.raises(setup_env.SetupError, match="free some space"):
        installers.set_up()
    assert installers.commands[-1] == "uv alpha"  # pip would fail, too


def move(installers: Installers) -> None:
    moved = installers.project.root / "moved, with 日本語"
    moved.mkdir()
    for path in [path for path in moved.parent.iterdir() if path != moved]:
        path.rename(moved / path.name)
    installers.project = setup_env.Project.read(moved)


def break_links(installers: Installers) -> None:
    for link in (installers.project.environment / "bin").glob("python*"):
        link.unlink()
        link.symlink_to("/not/there/python")


def need_newer_python(installers: Installers) -> None:
    setup_env.PROBE = setup_env.PROBE.replace(str(setup_env.OLDEST_PYTHON), "(99, 0)")


@pytest.mark.parametrize("harm", [move, break_links, need_newer_python])
def test_an_environment_that_cannot_be_used_is_made_anew(
    installers: Installers, monkeypatch: pytest.MonkeyPatch, harm: Callable[[Installers], None]
) -> None:
    if harm is break_links and WINDOWS:
        pytest.skip("there python.exe is a copy, which does not lose its target")
    monkeypatch.setattr(setup_env, "PROBE", setup_env.PROBE)  # to be restored
    harm(installers)
    assert installers.set_up()[1]["complete"]
    assert installers.project.python.exists()
    assert not setup_env.was_moved(installers.project)
    assert installers.package("alpha").exists()
    assert not installers.package("users_own").exists()


def test_windows_cannot_replace_the_python_that_runs(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_env, "WINDOWS", True)
    monkeypatch.setattr(sys, "prefix", str(project.environment))
    with pytest.raises(setup_env.SetupError, match=r"`py setup_env\.py` in a terminal"):
        setup_env.create(project)
    assert project.environment.is_dir()


def test_a_python_without_venv_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken environment stays as it was; the user may want something from it."""
    project = setup_env.Project.read(pyproject(tmp_path, ""))
    project.environment.mkdir()
    (project.environment / "notes.txt").write_text("mine", encoding="utf-8")
    monkeypatch.delitem(sys.modules, "venv")
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "meta_path", sys.meta_path[:2])  # built-in and frozen modules only
    with pytest.raises(setup_env.SetupError, match="apt install python3-venv"):
        setup_env.set_up(project, setup_env.Console(io.StringIO()))
    assert [path.name for path in project.environment.iterdir()] == ["notes.txt"]


# ----------------------------------------------------------------------------------------------- real installations


BACKEND = '''
"""A build backend of a few lines, so that the editable installation needs no package from anywhere."""
import pathlib, zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "tiny-1.0-py3-none-any.whl"
    info = "tiny-1.0.dist-info"
    with zipfile.ZipFile(pathlib.Path(folder, name), "w") as wheel:
        wheel.writestr("tiny.pth", str(pathlib.Path("src").resolve()))
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n"
                       "Requires-Dist: alpha\\nProvides-Extra: dev\\nRequires-Dist: beta; extra == 'dev'\\n")
        wheel.writestr(f"{info}/WHEEL",
                       "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", f"tiny.pth,,\\n{info}/METADATA,,\\n{info}/WHEEL,,\\n{info}/RECORD,,\\n")
    return name
'''

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "tiny"
version = "1.0"
dependencies = ["alpha"]

[project.optional-dependencies]
dev = ["beta"]
"""


def make_wheel(folder: Path, name: str, version: str) -> None:
    """A package whose module knows its version, with a program of the same name that prints it."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"version = {version!r}\ndef main(): print(version)\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(path, text)


class Tiny:
    """A tiny project with setup_env.py in a folder with an awkward name, installed by uv or by pip alone."""

    def __init__(self, root: Path, wheels: Path, uv: Path | None) -> None:
        self.root, self.wheels, self.uv = root, wheels, uv
        (root / "src").mkdir(parents=True)
        (root / "src" / "tiny.py").write_text("import alpha, beta\n", encoding="utf-8")
        others = [path.name.split("-")[0] for path in wheels.glob("*.whl")]
        self.others = sorted({*others} - {"alpha", "beta"})
        """Further packages, whose wheels lie in the folder."""
        pyproject(root, PYPROJECT.replace('["beta"]', json.dumps(["beta", *self.others])))
        more = "".join(f"Requires-Dist: {name}; extra == 'dev'\\n" for name in self.others)
        (root / "backend.py").write_text(BACKEND.replace("extra == 'dev'\\n", f"extra == 'dev'\\n{more}"))
        self.pin("1.0")
        shutil.copy(SCRIPT, root)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
        self.give_pip()
        self.variables = {
            **inherited,
            "PATH": str(uv.parent) if uv else os.path.dirname(sys.executable) if WINDOWS else os.defpath,
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": wheels.as_uri(),
            "PIP_RETRIES": "1",
            "UV_HTTP_RETRIES": "0",
            "UV_CACHE_DIR": str(wheels.parent / "uv-cache"),
            "PYTHONIOENCODING": "utf-8",
        }

    def give_pip(self) -> None:
        """An environment with a copy of our pip: ensurepip, which test_end_to_end.py runs, takes seconds."""
        venv.create(self.root / ".venv", symlinks=not WINDOWS)
        site = subprocess.check_output([self.python, "-c", "import site; print(site.getsitepackages()[-1])"], text=True)
        for path in Path(pip.__file__).parent.parent.glob("pip*"):
            shutil.copytree(path, Path(site.strip()) / path.name)

    @property
    def python(self) -> Path:
        return Path(setup_env.program_in(self.root / ".venv", "python"))

    def pin(self, version: str) -> None:
        (self.root / "constraints.txt").write_text(f"alpha=={version}\n", encoding="utf-8")

    def command(self, python: str | Path = sys.executable) -> list[str]:
        return [str(python), "-B", str(self.root / "setup_env.py")]

    def set_up(self, python: str | Path = sys.executable, **variables: str) -> subprocess.CompletedProcess[str]:
        settings = {**self.variables, **variables}
        return subprocess.run(
            self.command(python),
            env=settings,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=300,
        )

    def killed(self, after: float, installer: bool) -> bool:
        """Whether a run was killed after some seconds, before it had ended; `installer`: with what it has started."""
        process = subprocess.Popen(
            self.command(), env=self.variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(after)
        if process.returncode is None and installer:
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        return process.wait() == -signal.SIGKILL

    def packages(self) -> dict[str, bytes]:
        """Every file of the installed packages, without notes about the installation, which hold times."""
        site = next((self.root / ".venv").glob("lib/python*/site-packages"))
        notes = {"__pycache__", "RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}
        paths = (
            path
            for name in ("alpha", "beta", "tiny", *self.others)
            for top in site.glob(f"*{name}*")
            for path in [top, *top.rglob("*")]
        )
        return {str(path): path.read_bytes() for path in paths if path.is_file() and notes.isdisjoint(path.parts)}

    def installed(self) -> str:
        """The version of alpha that the project's environment imports, through the editable project itself."""
        code = "import tiny; print(tiny.alpha.version)"
        return subprocess.run([self.python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()

    def tree(self) -> dict[str, int]:
        """Every file with its time of change, less the bytecode that merely running Python adds."""
        paths = (path for path in self.root.rglob("*") if "__pycache__" not in path.parts)
        return {str(path): path.lstat().st_mtime_ns for path in paths if not path.is_dir()}


def find_uv() -> Path | None:
    beside = setup_env.program_in(Path(sys.prefix), "uv")
    found = str(beside) if Path(beside).exists() else shutil.which("uv")
    return Path(found) if found else None


@pytest.fixture(scope="module", params=["uv", "pip"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Installed once; each test finds it working, whatever it was put through before."""
    uv = None
    if request.param == "uv":
        source = find_uv()
        if source is None:
            pytest.skip("uv is neither in this environment nor on the PATH")
        uv = tmp_path_factory.mktemp("programs") / source.name
        shutil.copy(source, uv)
    wheels = tmp_path_factory.mktemp("wheels")
    for version in ("1.0", "1.1"):
        make_wheel(wheels, "alpha", version)
    make_wheel(wheels, "beta", "1.0")
    tiny = Tiny(tmp_path_factory.mktemp(request.param) / "it's a täst", wheels, uv)
    result = tiny.set_up()
    assert result.returncode == 0, result.stdout + result.stderr
    log = (tiny.root / ".venv" / "install.log").read_text(encoding="utf-8")
    assert ("pip install --python" in log) is (request.param == "uv")
    assert "Ready in" in result.stdout
    assert ("Installed 3 packages" if uv else "Successfully installed alpha-1.0 beta-1.0 tiny-1.0") in result.stdout
    return tiny


@pytest.fixture(autouse=True)
def _leave_it_working(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that failed in the middle must not fail the next ones."""
    yield
    if "tiny" in request.fixturenames:
        tiny: Tiny = request.getfixturevalue("tiny")
        tiny.pin("1.0")
        assert tiny.set_up().returncode == 0


def test_a_fresh_installation_works(tiny: Tiny) -> None:
    assert tiny.installed() == "1.0"


def test_a_package_that_is_not_the_pinned_file_is_refused(tiny: Tiny) -> None:
    """Only uv can check some packages: pip's mode needs a hash of all, the editable project included."""
    hashes, before = tiny.root / "hashes.txt", tiny.installed()
    hashes.write_text(f"alpha==1.1 \\\n    --hash=sha256:{'0' * 64}\nbeta==1.0\n", encoding="utf-8")
    tiny.pin("1.1")
    try:
        result = tiny.set_up(UV_NO_CACHE="1")
        if tiny.uv is None:
            assert (result.returncode, tiny.installed()) == (0, "1.1")
            return
        assert result.returncode == 1
        assert "A package is not the file that hashes.txt pins" in result.stderr
        assert "pip is slower" not in result.stdout, "pip would install what uv has refused"
        assert tiny.installed() == before
        wheel = next(tiny.wheels.glob("alpha-1.1*"))
        right = hashlib.sha256(wheel.read_bytes()).hexdigest()
        hashes.write_text(f"alpha==1.1 \\\n    --hash=sha256:{right}\nbeta==2.0\n", encoding="utf-8")
        assert tiny.set_up(UV_NO_CACHE="1").returncode == 0
        assert tiny.installed() == "1.1"
    finally:
        hashes.unlink()


def test_hashes_of_changed_pins_are_left_out(project: Any) -> None:
    (project.root / "constraints.txt").write_text("# pins\nalpha==2.0\nbeta==1.0\n", encoding="utf-8")
    assert setup_env.pinned_files(project) == []
    kept = "beta==1.0 \\\n    --hash=sha256:b \\\n    --hash=sha256:c\n"
    (project.root / "hashes.txt").write_text(f"alpha==1.0 \\\n    --hash=sha256:a\n{kept}", encoding="utf-8")
    project.environment.mkdir(exist_ok=True)
    option, path = setup_env.pinned_files(project)
    assert option == "-c"
    assert Path(path).read_text(encoding="utf-8").split() == kept.split()


def test_a_second_run_changes_nothing(tiny: Tiny) -> None:
    before = tiny.tree()
    result = tiny.set_up()
    assert result.returncode == 0
    assert "Up to date, nothing to do" in result.stdout
    assert tiny.tree() == before


def test_new_pins_are_installed_by_the_environment_into_itself(tiny: Tiny) -> None:
    tiny.pin("1.1")
    result = tiny.set_up(python=tiny.python)  # as PyCharm's run configuration starts it
    assert result.returncode == 0, result.stdout + result.stderr
    assert tiny.installed() == "1.1"


def test_pins_that_cannot_be_met_leave_the_old_environment(tiny: Tiny) -> None:
    tiny.pin("9.9")
    result = tiny.set_up()
    assert result.returncode == 1
    assert "No set of packages fits" in result.stderr
    assert "install.log" in result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    assert tiny.installed() == "1.0"


def test_a_dead_index_is_one_sentence_and_leaves_the_old_environment(tiny: Tiny) -> None:
    tiny.pin("1.1")
    result = tiny.set_up(PIP_NO_INDEX="0", PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_FIND_LINKS="")
    assert result.returncode == 1
    assert "127.0.0.1" in result.stderr
    assert "cannot be reached: check the network" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert tiny.installed() == "1.0"


@pytest.mark.skipif(WINDOWS, reason="needs SIGKILL")
def test_a_killed_installation_is_repeated(tiny: Tiny) -> None:
    """Once alone, so that its installer goes on, and once with it; `dev.py bench reliability` does so more often."""
    began = time.monotonic()
    tiny.pin("1.1")
    assert tiny.set_up().returncode == 0
    duration, whole = time.monotonic() - began, tiny.packages()
    for share, installer in ((0.5, False), (0.8, True)):
        tiny.pin("1.0")
        assert tiny.set_up().returncode == 0
        tiny.pin("1.1")
        tiny.killed(share * duration, installer)
        result = tiny.set_up()
        assert result.returncode == 0, result.stdout + result.stderr
        assert tiny.installed() == "1.1"
        assert tiny.packages() == whole


@pytest.mark.skipif(WINDOWS, reason="needs ulimit")
def test_a_full_disk_is_told_and_the_repetition_installs(tiny: Tiny) -> None:
    """No file may have more than one block, as on a disk that is full."""
    assert tiny.set_up().returncode == 0
    tiny.pin("1.1")
    limited = ["/bin/sh", "-c", 'ulimit -f 1; exec "$@"', "sh", *tiny.command()]
    result = subprocess.run(limited, env=tiny.variables, capture_output=True, encoding="utf-8", check=False)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert result.stderr.strip()
    again = tiny.set_up()
    assert again.returncode == 0, again.stdout + again.stderr
    assert tiny.installed() == "1.1"


@pytest.fixture
def _ctrl_c_counts() -> Iterator[None]:
    """Started in the background, this process and its children would ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c_counts")
@pytest.mark.skipif(WINDOWS, reason="a Ctrl-C cannot be sent to another process group there")
def test_ctrl_c_during_the_download_leaves_the_old_environment(tiny: Tiny) -> None:
    tiny.pin("1.1")
    with socket.create_server(("127.0.0.1", 0)) as index:  # takes the request and never answers
        index.settimeout(60)
        url = f"http://127.0.0.1:{index.getsockname()[1]}/simple"
        settings = {**tiny.variables, "PIP_NO_INDEX": "0", "PIP_INDEX_URL": url, "PIP_FIND_LINKS": ""}
        with subprocess.Popen(tiny.command(), env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            connection, _ = index.accept()
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
            said = io.StringIO()
            with setup_env.one_at_a_time(setup_env.Project.read(tiny.root), setup_env.Console(said)):
                assert said.getvalue() == ""  # the installer has ended, too: it would hold the lock
            connection.close()
    assert process.returncode == 130
    assert errors.decode().strip() == "Stopped; run this again to go on."
    assert tiny.installed() == "1.0"
    state = tiny.root / ".venv" / "setup.json"
    recorded = json.loads(state.read_text(encoding="utf-8"))
    assert recorded["complete"] is False  # so that the next run installs anew, which is tested with fake installers
    state.write_text(json.dumps({**recorded, "complete": True}), encoding="utf-8")
