"""Create `.venv` and install this project into it: `python setup_env.py`, safe to run again at any time.

It needs only Python's standard library. The environment is a plain venv, which PyCharm recognises by itself. Packages
are installed by uv, found on the PATH or fetched with pip, because uv is faster and can choose the torch build for the
accelerator; pip is the fallback. pip's configuration (indexes, certificates, proxy) is handed on to uv.

Both installers download everything before they change anything: a failed download leaves a working environment as it
was. `.venv/setup.json` says whether the environment is complete; where it is not, the next run installs it anew.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePath
from typing import TextIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

OLDEST_PYTHON = (3, 11)
OLDEST_UV = (0, 7)  # older ones do not know --torch-backend
ACCELERATORS = ("auto", "cuda", "cpu")
WINDOWS = os.name == "nt"
HEARTBEAT = 30.0  # seconds between two lines that say that a command is still running
PIP_INSTALL = ("-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar=off")

# pip's option, the variable by which uv takes it, and what uv wants between several values (None: there is only one).
UV_VARIABLES = (
    ("index-url", "UV_DEFAULT_INDEX", " "),
    ("extra-index-url", "UV_INDEX", " "),
    ("find-links", "UV_FIND_LINKS", ","),
    ("trusted-host", "UV_INSECURE_HOST", " "),
    ("cert", "SSL_CERT_FILE", None),
    ("client-cert", "SSL_CLIENT_CERT", None),
    ("proxy", "ALL_PROXY", None),
)
PIP_LOCATIONS = ("index-url", "extra-index-url", "find-links")
UV_LOCATIONS = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")

# How a failure shows in the output of uv or pip. The first match counts: pip ends a lost connection, too, with
# "No matching distribution found".
SIGNS = {
    "hashes": r"hash mismatch",
    "disk": r"No space left on device|not enough space on the disk|os error (28|112)\b",
    "rights": r"Permission denied|read-only file system|access is denied|os error (5|13|30|32)\b",
    "certificate": r"certificate.verify.failed|invalid peer certificate|UnknownIssuer",
    "login": r"\b40[137] (Client Error|Unauthorized|Forbidden|Proxy)|status code: 40[137]|\(40[137]\b",
    "network": r"ConnectionError|max retries|name resolution|getaddrinfo|dns error|connect error|timed out|unreachable",
    "ensurepip": r"No module named '?(ensurepip|venv)|ensurepip is (not available|disabled)",
    "versions": r"No solution found|ResolutionImpossible|No matching distribution|requires a different Python",
    "torch": r"(ImportError|OSError): .*(DLL|shared object|torch)",
}
REMEDIES = {
    "hashes": "A package is not the file that hashes.txt pins: use another index, or delete hashes.txt to trust it",
    "disk": "The disk is full: free some space and run this again",
    "rights": "Files cannot be written: check the rights on this folder and end programs that use its .venv",
    "certificate": "The certificate of {host} is not trusted here: name yours with `pip config set global.cert FILE`",
    "login": "{host} refuses access: check the login in your pip configuration (`pip config list`) or of your proxy",
    "network": "{host} cannot be reached: check the network, or name a proxy with `pip config set global.proxy URL`",
    "ensurepip": "This Python lacks venv or pip: install them (Debian, Ubuntu: `sudo apt install python3-venv`)",
    "versions": "No set of packages fits the pinned versions on this Python and platform: use another Python",
    "torch": "torch is installed but does not load (on Windows it needs the Visual C++ Redistributable)",
}
# Such a failure leaves the environment as it was.
BEFORE_WRITING = {"hashes", "certificate", "login", "network", "versions"}

PROBE = f"""
import importlib.metadata, json, platform, sys
assert sys.version_info >= {OLDEST_PYTHON}
facts = dict(python=platform.python_version(), torch=None)
try:
    facts["torch"] = importlib.metadata.version("torch")
except importlib.metadata.PackageNotFoundError:
    pass
print(json.dumps(facts))
"""
CHECK = f"""{PROBE}
if facts["torch"]:  # loading it proves that it works here
    import torch
    cuda, mps, built = torch.cuda.is_available(), torch.backends.mps.is_available(), torch.version
    facts["device"] = f"cuda ({{torch.cuda.get_device_name(0)}})" if cuda else "mps" if mps else "cpu"
    facts["build"] = f"CUDA {{built.cuda}}" if built.cuda else "ROCm" if built.hip else "CPU"
print(json.dumps(facts))
"""


class SetupError(Exception):
    """One sentence with the remedy; the exit code is 2 where the user's input is wrong."""

    def __init__(self, sentence: str, code: int = 1, failure: str = "unknown") -> None:
        super().__init__(sentence)
        self.code, self.failure = code, failure  # failure: a name from SIGNS, where a command failed


def explain(output: str) -> tuple[str, str]:
    """The name of a failure, and a sentence about it, from what a command printed."""
    url = re.search(r"https?://(?!pip\.pypa\.io)([^/\s'\"`)]+)", output)  # that one is in pip's advice to root
    host = url[1].rpartition("@")[2] if url else "The package index"  # without the login that a URL may hold
    for failure, sign in SIGNS.items():
        if re.search(sign, output, re.IGNORECASE):
            return failure, REMEDIES[failure].format(host=host)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    line = re.sub(r"(://)[^/\s@]*@", r"\1", (errors or lines[-1:] or ["no message"])[0])
    return "unknown", f"The installation failed: {line}"


# -------------------------------------------------------------------------------------------- the project and its state


def program_in(environment: PurePath, name: str, windows: bool = WINDOWS) -> PurePath:
    """The path of a program in a virtual environment."""
    return environment / "Scripts" / f"{name}.exe" if windows else environment / "bin" / name


@dataclass(frozen=True)
class Project:
    """A folder with a pyproject.toml; its environment is always `.venv` in it."""

    root: Path
    extra: str  # of [project.optional-dependencies]; empty: none
    constraints: str
    accelerator: str

    @classmethod
    def read(cls, root: Path, extra: str = "dev", constraints: str = "constraints.txt") -> Project:
        """The accelerator comes from `[tool.finetune]` in pyproject.toml."""
        import tomllib  # not above: an older Python must get as far as the message that it is too old

        source = root / "pyproject.toml"
        try:
            document = tomllib.loads(source.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise SetupError(f"{source} cannot be read ({error}): correct it and run this again.", code=2) from error
        tool = document.get("tool", {})
        section = tool.get("finetune", {}) if isinstance(tool, dict) else tool
        if not isinstance(section, dict):
            raise SetupError(
                f"{source}: tool.finetune is no table: write [tool.finetune] on a line of its own.", code=2
            )
        accelerator = section.get("accelerator", "auto")
        if accelerator not in ACCELERATORS:
            choices = ", ".join(ACCELERATORS)
            sentence = f"{source}: tool.finetune.accelerator is {accelerator!r}; choose one of {choices}."
            raise SetupError(sentence, code=2)
        return cls(root, extra, constraints, accelerator)

    @property
    def environment(self) -> Path:
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        return Path(program_in(self.environment, "python"))

    @property
    def packages(self) -> Path:
        """The folder of all packages, without the Python that may be running this."""
        return self.environment / ("Lib" if WINDOWS else "lib")

    def fingerprint(self) -> str:
        """Changes whenever the installed packages may have to: with the pins or the folder."""
        digest = hashlib.sha256(f"{self.root}\n".encode())
        for path in (self.root / "pyproject.toml", self.root / self.constraints):
            digest.update(path.read_bytes() if path.is_file() else b"-")
        return digest.hexdigest()


@dataclass
class State:
    """What is installed, recorded in `.venv/setup.json`."""

    complete: bool = True  # False while packages are being installed
    installed: dict[str, str] = field(default_factory=dict)  # extra -> fingerprint
    facts: dict[str, str | None] = field(default_factory=dict)  # see PROBE and CHECK

    @classmethod
    def load(cls, project: Project) -> State:
        try:
            state = cls(**json.loads((project.environment / "setup.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError):
            return cls()
        return state if isinstance(state.installed, dict) and isinstance(state.facts, dict) else cls()

    def save(self, project: Project) -> None:
        """Replaces the file in one move: a killed run leaves the old or the new one."""
        beside = project.environment / "setup.tmp"
        beside.write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")
        beside.replace(project.environment / "setup.json")


# -------------------------------------------------------------------------------------------------- output and commands


class Console:
    """Numbered steps with their times, in plain lines that suit a terminal, a run window and a log alike."""

    def __init__(self, stream: TextIO, steps: int = 3) -> None:
        self.stream, self.steps, self.number = stream, steps, 0
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a path may hold letters that the console cannot show

    def step(self, title: str) -> None:
        self.number += 1
        self.started = time.monotonic()
        self.print(f"[{self.number}/{self.steps}] {title}")

    def done(self, text: str) -> None:
        self.note(f"{text} ({duration(time.monotonic() - self.started)})")

    def note(self, text: str) -> None:
        self.print(f"      {text}")

    def print(self, text: str) -> None:
        print(text, file=self.stream, flush=True)


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def child_variables() -> dict[str, str]:
    """This process's variables, less those that would send imports or packages elsewhere."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
    return {**kept, "PIP_USER": "0", "PYTHONUTF8": "1", "NO_COLOR": "1"}


def ask(*command: str | Path) -> str | None:
    """What a short command prints; None where it fails."""
    parts = [str(part) for part in command]
    try:
        done = subprocess.run(parts, capture_output=True, env=child_variables(), timeout=120, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", errors="replace")


class Runner:
    """Runs the long commands in the project's folder; what they print goes to `.venv/install.log`."""

    def __init__(self, project: Project, console: Console) -> None:
        self.project, self.console = project, console
        self.log = project.environment / "install.log"
        self.failures: set[str] = set()

    def run(self, *command: str | Path, variables: dict[str, str] | None = None, show: bool = False) -> str:
        """Return what the command printed, shown line by line if `show`; raise SetupError where it fails."""
        parts, printed, ended = [str(part) for part in command], [], threading.Event()
        child = subprocess.Popen(
            parts,
            cwd=self.project.root,
            env={**child_variables(), **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            close_fds=False,  # the command inherits the lock of `one_at_a_time`
        )
        with child, self.log.open("a", encoding="utf-8", buffering=1) as log:
            threading.Thread(target=self.heartbeat, args=(ended,), daemon=True).start()
            log.write(f"$ {' '.join(parts)}\n")
            try:
                for line in child.stdout or ():
                    printed.append(line)
                    log.write(line)
                    if show:
                        self.console.note(line.rstrip())
            except BaseException:
                child.terminate()
                child.wait()
                raise
            finally:
                ended.set()
        if child.returncode != 0:
            failure, sentence = explain("".join(printed))
            self.failures.add(failure)
            raise SetupError(f"{sentence} (details: {self.log}).", failure=failure)
        return "".join(printed)

    def heartbeat(self, ended: threading.Event) -> None:
        """Installers print nothing while they fetch a large file."""
        while not ended.wait(HEARTBEAT):
            self.console.done("still running")


@contextmanager
def one_at_a_time(project: Project, console: Console) -> Iterator[None]:
    """Wait for other runs in this folder, and for an installer that outlived its killed run (not on Windows)."""
    with (project.root / "pyproject.toml").open() as file:
        if not WINDOWS:
            import fcntl

            os.set_inheritable(file.fileno(), True)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                console.print("Waiting for another installation in this folder to end.")
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError:  # a file system without locks
                pass
        yield


# --------------------------------------------------------------------------------------------- where packages come from


def pip_options(listing: str) -> dict[str, str]:
    """Read what `pip config list` prints; as in pip, a variable beats [install], and that beats [global]."""
    options: dict[str, str] = {}
    for scope in ("global", "install", ":env:"):
        for name, value in re.findall(rf"^{scope}\.([\w-]+)=(.+)$", listing, re.MULTILINE):
            options[name] = str(ast.literal_eval(value.strip()))
    return options


def uv_sources(pip: dict[str, str], root: Path) -> tuple[dict[str, str], list[str]]:
    """pip's options as uv takes them: variables, because URLs may hold logins, and flags.

    Variables of uv that the user set stay as they are.
    """
    variables = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"}  # pip trusts the system's certificates; new and old name
    for option, name, separator in UV_VARIABLES:
        values = pip.get(option, "").split() if separator else [pip.get(option, "")]
        if option in PIP_LOCATIONS:
            values = [uri for uri in (location_uri(value, root) for value in values) if uri]
        if any(values):
            variables[name] = (separator or "").join(values)
    if timeout := pip.get("timeout", pip.get("default-timeout")):
        variables["UV_HTTP_TIMEOUT"] = str(round(float(timeout)))
    if any(name in variables for name in UV_LOCATIONS):
        variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # pip's rule: the best version of all places
    flags = [part for file in pip.get("constraint", "").split() for part in ("-c", file)]
    if pip.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        flags.append("--no-index")
    told = {name: value for name, value in variables.items() if not (name.startswith("UV_") and name in os.environ)}
    return told, flags


def location_uri(location: str, root: Path) -> str | None:
    """A place of packages as uv takes it; None for a missing folder, which pip ignores and uv does not."""
    scheme = urlsplit(location).scheme
    if len(scheme) > 1 and scheme != "file":  # a single letter is a Windows drive
        return location.replace(",", "%2C")  # uv ends an entry at a comma
    path = root / (url2pathname(urlsplit(location).path) if scheme == "file" else os.path.expanduser(location))
    return path.resolve().as_uri().replace(",", "%2C") if path.exists() else None


def torch_choice(accelerator: str, system: str, variables: dict[str, str], flags: list[str]) -> list[str]:
    """uv's flag for the torch build; without one the index decides.

    With the flag uv fetches torch from PyTorch's own index, so it is left out where the user chose the sources. macOS
    has one build; the default index serves the CUDA build to Linux but the CPU build to Windows.
    """
    named = {**os.environ, **variables}
    chosen_by_user = "--no-index" in flags or any(name in named for name in (*UV_LOCATIONS, "UV_TORCH_BACKEND"))
    if chosen_by_user or system == "Darwin" or (accelerator, system) == ("cuda", "Linux"):
        return []
    return ["--torch-backend", "cpu" if accelerator == "cpu" else "auto"]


# ------------------------------------------------------------------------------------------------------------ the steps


def probe(project: Project) -> dict[str, str | None] | None:
    """The versions of Python and torch in the environment; None where it does not run or is too old."""
    printed = ask(project.python, "-I", "-c", PROBE)
    return json.loads(printed) if printed else None


def was_moved(project: Project) -> bool:
    """A venv's programs hold its path, and pyvenv.cfg names the one it was made for (without that line: trust it)."""
    settings = (project.environment / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace")
    made_by = [line for line in settings.splitlines() if line.startswith("command = ")]
    here = os.path.normcase(f" {project.environment}")
    return any(not os.path.normcase(line.rstrip()).endswith(here) for line in made_by)


def create(project: Project) -> None:
    """Create an empty venv; what stands in its place is deleted."""
    if WINDOWS and Path(sys.prefix).resolve() == project.environment:  # a Python that runs cannot be deleted there
        raise SetupError(f"{project.environment} must be replaced: run `py setup_env.py` in a terminal, outside of it.")
    try:
        import venv  # some Linux distributions package it separately

        venv.create(project.environment, clear=True, symlinks=not WINDOWS)
    except (ImportError, ValueError) as error:  # ValueError: a venv cannot stand at this path
        raise SetupError(f"{explain(str(error))[1]}.") from error


def find_uv(project: Project, runner: Runner) -> Path | None:
    """uv from the environment or the PATH, else fetched with pip; None where the user's sources have none."""
    ours = Path(program_in(project.environment, "uv"))
    for uv in (ours, shutil.which("uv")):
        printed = ask(uv, "--version") if uv else None
        if uv and printed and tuple(map(int, re.findall(r"\d+", printed)[:2])) >= OLDEST_UV:
            return Path(uv)
    try:
        runner.run(project.python, *PIP_INSTALL, "uv", show=True)
    except SetupError as error:
        if error.failure in ("versions", "unknown"):
            return None
        raise  # any other package would fail in the same way
    return ours


def pinned_files(project: Project) -> list[str]:
    """uv's option for the hashes of all packages whose pins are unchanged.

    hashes.txt lies beside the constraints. torch has none, as each accelerator has its own build. pip would refuse to
    install anything without a hash, the editable project included; so it gets none.
    """
    pins = project.root / project.constraints
    source = pins.with_name("hashes.txt")
    if not source.is_file():
        return []
    unchanged = set(pins.read_text(encoding="utf-8").split())
    entries = re.split(r"\n(?=\S)", source.read_text(encoding="utf-8"))
    kept = [entry for entry in entries if entry.partition(" ")[0] in unchanged]
    target = project.environment / "hashes.txt"
    target.write_text("\n".join([*kept, ""]), encoding="utf-8")
    return ["-c", str(target)]


def install(project: Project, runner: Runner) -> None:
    """Install the project with its pins, by uv; where that fails, pip tries too."""
    what = ("-e", f".[{project.extra}]" if project.extra else ".", "-c", project.constraints)
    if uv := find_uv(project, runner):
        options = pip_options(ask(project.python, "-m", "pip", "config", "list") or "")
        variables, flags = uv_sources(options, project.root)
        flags += torch_choice(project.accelerator, platform.system(), variables, flags)
        try:
            command: tuple[str | Path, ...] = (
                uv,
                "pip",
                "install",
                "--python",
                project.python,
                *flags,
                *what,
                *pinned_files(project),
            )
            runner.run(*command, variables=variables, show=True)
            return
        except SetupError as error:
            if error.failure in ("disk", "rights", "hashes"):
                raise
    runner.console.note("Without uv: pip is slower and takes the torch build that the index prefers.")
    runner.run(project.python, *PIP_INSTALL, *what, show=True)


def set_up(project: Project, console: Console) -> State:
    """Bring the environment to what pyproject.toml and the constraints say; do nothing where it is up to date."""
    with one_at_a_time(project, console):
        found, state, wanted = probe(project), State.load(project), project.fingerprint()
        is_installed = state.complete and state.installed.get(project.extra) == wanted
        if is_installed and found and found.items() <= state.facts.items():
            return state
        console.step("Environment")
        if found is None or was_moved(project):
            create(project)
            state = State()
        elif not state.complete:
            console.note("An earlier installation was not completed: all packages are installed anew.")
            if project.packages.exists():
                shutil.rmtree(project.packages)
            state = State()
        replace(state, complete=False).save(project)
        runner = Runner(project, console)
        runner.log.unlink(missing_ok=True)
        try:
            if not ask(project.python, "-m", "pip", "--version"):
                runner.run(project.python, "-m", "ensurepip", "--upgrade", "--default-pip")
            console.done(str(project.environment))
            console.step("Packages")
            install(project, runner)
            console.done("installed")
            console.step("Check")
            facts = json.loads(runner.run(project.python, "-I", "-c", CHECK).splitlines()[-1])
            console.done("the environment works")
        except SetupError:
            if runner.failures <= BEFORE_WRITING:
                state.save(project)
            raise
        state = State(True, {**state.installed, project.extra: wanted}, facts)
        state.save(project)
        return state


# --------------------------------------------------------------------------------------------------------- command line


def check_python() -> None:
    if sys.version_info < OLDEST_PYTHON:
        raise SetupError(
            f"Python 3.11 or newer is needed, and {sys.executable} is {platform.python_version()}: "
            "start this with a newer one, or choose one in PyCharm (Settings, Python, Interpreter)."
        )


def summary(project: Project, facts: dict[str, str | None]) -> str:
    """What is installed, and what to do next."""
    lines = [f"Python {facts['python']}"]
    if facts["torch"]:
        lines[0] += f", torch {facts['torch']} ({facts['build']} build), device {facts['device']}"
    if project.accelerator == "cuda" and not str(facts.get("device")).startswith("cuda"):
        lines.append("No CUDA device is usable here: training runs on the CPU until an NVIDIA driver is installed.")
    python = program_in(PurePath(".venv"), "python")
    lines.append(f'Next: run "Train (demo)" in PyCharm, or: {python} -m finetune train configs/demo.yaml')
    return "\n".join(lines)


def guarded(action: Callable[[], int]) -> int:
    """Turn what can go wrong into one sentence on standard error and an exit code."""
    try:
        return action()
    except SetupError as error:
        sentence, code = str(error), error.code
    except OSError as error:
        sentence, code = f"{explain(str(error))[1]} ({error})", 1
    except KeyboardInterrupt:
        sentence, code = "Stopped; run this again to go on.", 130
    print(f"\n{sentence}", file=sys.stderr)
    return code


def main() -> int:
    return guarded(run)


def run() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stop button ends this as Ctrl-C does
    started = time.monotonic()
    check_python()
    project, console = Project.read(Path(__file__).resolve().parent), Console(sys.stdout)
    state = set_up(project, console)
    how = f"Ready in {duration(time.monotonic() - started)}" if console.number else "Up to date, nothing to do"
    console.print(f"{how}: {summary(project, state.facts)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
