"""setup_env.py: what it decides, by itself; and real installations of a tiny project from wheels in a folder."""

import _thread
import ast
import importlib.util
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import ModuleType

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


@pytest.mark.parametrize(
    ("accelerator", "system", "chosen_by_user", "backend"),
    [
        ("auto", "Linux", False, "auto"),
        ("cpu", "Linux", False, "cpu"),
        ("cuda", "Linux", False, None),
        ("auto", "Windows", False, "auto"),
        ("cpu", "Windows", False, "cpu"),
        ("cuda", "Windows", False, "auto"),
        ("cpu", "Darwin", False, None),
        ("auto", "Darwin", False, None),
        ("cpu", "Linux", True, None),
        ("cuda", "Windows", True, None),
    ],
)
def test_torch_backend(accelerator: str, system: str, chosen_by_user: bool, backend: str | None) -> None:
    assert setup_env.torch_backend(accelerator, system, chosen_by_user) == backend


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
    sources = setup_env.uv_sources(
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
    assert expected.items() <= sources.variables.items()
    assert sources.flags == ["-c", "/a.txt", "-c", "/b.txt", "--no-index"]
    assert sources.chosen_by_user


@pytest.mark.usefixtures("plain_variables")
def test_a_timeout_or_a_missing_folder_is_no_source(tmp_path: Path) -> None:
    sources = setup_env.uv_sources({"timeout": "60", "find-links": "/not/there"}, tmp_path)
    assert not sources.chosen_by_user
    assert "UV_FIND_LINKS" not in sources.variables
    assert "UV_INDEX_STRATEGY" not in sources.variables


def test_what_the_user_told_uv_stands(plain_variables: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plain_variables.setenv("UV_DEFAULT_INDEX", "https://uv.example/simple")
    sources = setup_env.uv_sources({"index-url": "https://pip.example/simple"}, tmp_path)
    assert "UV_DEFAULT_INDEX" not in sources.variables
    assert sources.chosen_by_user


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
        ("", "unknown", "no message"),
    ],
)
def test_a_failure_becomes_a_sentence(output: str, failure: str, part: str) -> None:
    found, sentence = setup_env.explain(output)
    assert found == failure
    assert part in sentence
    assert "pass@" not in sentence
    assert "\n" not in sentence


def test_progress_of_uv() -> None:
    progress = setup_env.Progress("working")
    assert progress.read("Downloading torch (182.9MiB)\n") == "fetching torch (182.9 MiB)"
    assert progress.read("Resolved 67 packages in 1.2s\n") is None
    assert not progress.writing
    assert str(progress) == "fetching torch (182.9 MiB)"
    progress.read(" Downloaded torch\n")
    assert progress.writing
    progress.read("Prepared 67 packages in 40s\n")
    assert str(progress) == "writing packages"


def test_progress_of_uv_with_a_warm_cache() -> None:
    progress = setup_env.Progress("working")
    progress.read("Resolved 67 packages in 12ms\n")
    assert progress.writing


def test_progress_of_pip() -> None:
    progress = setup_env.Progress("working")
    assert progress.read("  Downloading rich-15.0.0-py3-none-any.whl.metadata (18 kB)\n") is None
    assert progress.read("  Downloading torch-2.13.0-cp311-cp311-win_amd64.whl (114.9 MB)\n") == (
        "fetching torch (114.9 MB)"
    )
    progress.read("Downloading sympy-1.14.0-py3-none-any.whl (6.3 MB)\n")
    assert str(progress) == "fetching sympy (6.3 MB)"
    assert not progress.writing
    progress.read("Installing collected packages: mpmath, sympy\n")
    assert progress.writing


def test_a_log_hears_of_a_long_step_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    console = setup_env.Console(stream)
    console.step("Packages")
    console.doing("fetching torch")
    assert stream.getvalue() == "[1/4] Packages\n"
    monkeypatch.setattr(setup_env, "QUIET", -1.0)
    console.doing("fetching torch")
    assert "fetching torch (0." in stream.getvalue()


def pyproject(folder: Path, text: str) -> Path:
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return folder


def test_a_wrong_accelerator_is_the_users_error(tmp_path: Path) -> None:
    pyproject(tmp_path, '[tool.finetune]\naccelerator = "tpu"\n')
    with pytest.raises(setup_env.SetupError, match="'tpu'; choose one of auto, cuda, cpu") as caught:
        setup_env.Project.read(tmp_path)
    assert caught.value.code == 2


def test_a_broken_pyproject_is_the_users_error(tmp_path: Path) -> None:
    pyproject(tmp_path, "[project\n")
    with pytest.raises(setup_env.SetupError, match=r"pyproject\.toml cannot be read") as caught:
        setup_env.Project.read(tmp_path)
    assert caught.value.code == 2


def test_the_fingerprint_follows_pins_python_and_place(tmp_path: Path) -> None:
    project = setup_env.Project.read(pyproject(tmp_path, ""))
    first = project.fingerprint("3.11.7")
    assert project.fingerprint("3.11.7") == first
    assert project.fingerprint("3.12.0") != first
    (tmp_path / "constraints.txt").write_text("torch==2.13.0", encoding="utf-8")
    assert project.fingerprint("3.11.7") != first
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert setup_env.Project.read(pyproject(elsewhere, "")).fingerprint("3.11.7") != first


def test_too_little_space_is_said_before_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = setup_env.Project.read(pyproject(tmp_path, '[tool.finetune]\naccelerator = "cuda"\n'))
    usage = shutil.disk_usage(tmp_path)._replace(free=5_000_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(setup_env.SetupError, match=r"5\.0 GB free and about 8 GB are needed"):
        setup_env.check_space(project, None)
    setup_env.check_space(project, {"torch": "2.13.0"})


@pytest.mark.parametrize(
    ("made_for", "moved"), [("{environment}", False), ("/elsewhere/.venv", True), ("{environment}.old", True)]
)
def test_a_moved_environment_is_known(tmp_path: Path, made_for: str, moved: bool) -> None:
    project = setup_env.Project.read(pyproject(tmp_path, ""))
    project.environment.mkdir()
    command = f"command = /usr/bin/python3 -m venv {made_for.format(environment=project.environment)}\n"
    (project.environment / "pyvenv.cfg").write_text("home = /usr/bin\n" + command, encoding="utf-8")
    assert setup_env.was_moved(project) is moved


# ---------------------------------------------------------------------------------------------------------- Ctrl-C


COMMAND = """
import sys, time
print(sys.argv[1], flush=True)
time.sleep(2)
open("finished", "w").close()
"""


@pytest.fixture(autouse=True)
def _ctrl_c_counts() -> Iterator[None]:
    """Started in the background, this process and its children would ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def runner(tmp_path: Path) -> object:
    project = setup_env.Project.read(pyproject(tmp_path, ""))
    project.environment.mkdir()
    return setup_env.Runner(project, setup_env.Console(io.StringIO()))


def interrupt_when(ready: Callable[[], bool]) -> None:
    """Press Ctrl-C in the main thread, as soon as the command has spoken."""

    def press() -> None:
        while not ready():
            time.sleep(0.01)
        _thread.interrupt_main()

    threading.Thread(target=press, daemon=True).start()


@pytest.mark.parametrize(("line", "finishes"), [("Prepared 3 packages in 1s", True), ("Collecting torch", False)])
def test_ctrl_c_waits_only_while_packages_are_written(
    runner: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, finishes: bool
) -> None:
    spoken = threading.Event()
    read = setup_env.Progress.read

    def read_and_tell(progress: object, text: str) -> object:
        news = read(progress, text)
        spoken.set()
        return news

    monkeypatch.setattr(setup_env.Progress, "read", read_and_tell)
    interrupt_when(spoken.is_set)
    console = runner.console  # type: ignore[attr-defined]
    console.step("Packages")
    with pytest.raises(KeyboardInterrupt):
        runner.run(sys.executable, "-c", COMMAND, line, doing="working")  # type: ignore[attr-defined]
    time.sleep(0 if finishes else 2.5)  # had the command lived on, it would have finished by now
    assert (tmp_path / "finished").exists() is finishes


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
        self.root = root
        (root / "src").mkdir(parents=True)
        (root / "src" / "tiny.py").write_text("import alpha, beta\n", encoding="utf-8")
        (root / "backend.py").write_text(BACKEND, encoding="utf-8")
        pyproject(root, PYPROJECT)
        self.pin("1.0")
        shutil.copy(SCRIPT, root)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
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
    assert "3 packages installed" in result.stdout
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


def test_a_second_run_changes_nothing(tiny: Tiny) -> None:
    before = tiny.tree()
    result = tiny.set_up()
    assert result.returncode == 0
    assert "Ready, nothing to do" in result.stdout
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
            connection.close()
    assert process.returncode == 130
    assert errors.decode().strip() == "Stopped; run this again to go on."
    assert tiny.installed() == "1.0"


def test_an_installation_killed_while_it_wrote_is_mended(tiny: Tiny) -> None:
    module = next((tiny.root / ".venv").rglob("alpha.py"))
    module.unlink()
    state = tiny.root / ".venv" / "setup.json"
    remembered = json.loads(state.read_text(encoding="utf-8"))
    state.write_text(json.dumps({**remembered, "whole": False}), encoding="utf-8")
    result = tiny.set_up()
    assert result.returncode == 0, result.stdout + result.stderr
    assert tiny.installed() == "1.0"
    assert json.loads(state.read_text(encoding="utf-8"))["whole"] is True


def test_a_moved_project_is_mended(tiny: Tiny) -> None:
    old, new = tiny.root, tiny.root.with_name("moved, with 日本語")
    old.rename(new)
    tiny.root = new
    result = tiny.set_up(python=tiny.python)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "mended after its folder was moved" in result.stdout
    program = setup_env.program_in(new / ".venv", "alpha")
    assert subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout.strip() == "1.0"
    assert tiny.installed() == "1.0"


@pytest.mark.skipif(WINDOWS, reason="there python.exe is a copy, which does not lose its target")
def test_an_environment_without_its_python_is_made_anew(tiny: Tiny) -> None:
    for link in (tiny.root / ".venv" / "bin").glob("python*"):
        link.unlink()
        link.symlink_to("/not/there/python")
    result = tiny.set_up()
    assert result.returncode == 0, result.stdout + result.stderr
    assert "in place of a broken one" in result.stdout
    assert tiny.installed() == "1.0"
    assert not (tiny.root / ".venv.old").exists()


def test_a_python_without_venv_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken environment stays as it was; the user may want something from it."""
    project = setup_env.Project.read(pyproject(tmp_path, ""))
    project.environment.mkdir()
    (project.environment / "notes.txt").write_text("mine", encoding="utf-8")
    runner = setup_env.Runner(project, setup_env.Console(io.StringIO()))
    runner.console.step("Environment")

    def refuse(command: list[str], folder: Path, variables: dict[str, str]) -> subprocess.Popen[str]:
        code = "import sys; sys.exit('No module named venv')"
        return start([sys.executable, "-c", code], folder, variables)

    start = setup_env.start
    monkeypatch.setattr(setup_env, "start", refuse)
    with pytest.raises(setup_env.CommandError, match="apt install python3-venv"):
        setup_env.make_environment(project, runner)
    assert (project.environment / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert not project.environment.with_name(".venv.old").exists()
