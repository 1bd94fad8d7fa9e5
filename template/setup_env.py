"""Make or repair `.venv` and install this project into it: `python setup_env.py`, safe to run again at any time.

Only Python's standard library is used, for this runs before anything is installed. The environment is a plain venv,
which PyCharm recognises by itself. uv, found or fetched, installs into it: it is quicker than pip and can choose the
torch build that fits the accelerator; what the user configured for pip (indexes, certificates, proxy) holds for uv too.
All packages are fetched before a working environment is changed, and an installation that was killed while it wrote
them is noticed and mended by the next run.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePath
from typing import IO, Any, TextIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

OLDEST_PYTHON = (3, 11)
OLDEST_UV = (0, 7)  # older ones do not know --torch-backend
ACCELERATORS = ("auto", "cuda", "cpu")
WINDOWS = os.name == "nt"
TICK = 0.2  # seconds between two looks at a running command
QUIET = 10.0  # seconds of silence after which a command is said to go on

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

# How a failure shows in what uv or pip print. The first match counts, for pip ends a lost connection, too, with "No
# matching distribution found".
SIGNS = {
    "disk": r"No space left on device|not enough space on the disk|os error (28|112)\b",
    "certificate": r"certificate.verify.failed|invalid peer certificate|UnknownIssuer",
    "login": r"\b40[137] (Client Error|Unauthorized|Forbidden|Proxy)|status code: 40[137]|\(40[137]\b",
    "network": r"ConnectionError|max retries|name resolution|getaddrinfo|dns error|connect error|timed out|unreachable",
    "rights": r"Permission denied|read-only file system|access is denied|os error (5|13|30|32)\b",
    "ensurepip": r"No module named '?(ensurepip|venv)|ensurepip is (not available|disabled)",
    "versions": r"No solution found|ResolutionImpossible|No matching distribution|requires a different Python",
    "torch": r"(ImportError|OSError): .*(DLL|shared object|torch)",
}
REMEDIES = {
    "disk": "The disk is full: free some space and run this again",
    "certificate": "The certificate of {host} is not trusted here: name yours with `pip config set global.cert FILE`",
    "login": "{host} refuses access: check the login in your pip configuration (`pip config list`) or of your proxy",
    "network": "{host} cannot be reached: check the network, or name a proxy with `pip config set global.proxy URL`",
    "rights": "Files cannot be written: check the rights on this folder and end programs that use its .venv",
    "ensurepip": "This Python lacks venv or pip: install them (Debian, Ubuntu: `sudo apt install python3-venv`)",
    "versions": "No set of packages fits the pinned versions on this Python and platform: use another Python",
    "torch": "torch is installed but does not load (on Windows it needs the Visual C++ Redistributable)",
}

PROBE = """
import importlib.metadata as metadata, importlib.util, json, platform
try:
    torch = metadata.version("torch")
except metadata.PackageNotFoundError:
    torch = None
pip = importlib.util.find_spec("pip") is not None
print(json.dumps({"python": platform.python_version(), "pip": pip, "torch": torch}))
"""

TORCH_FACTS = """
import json, torch
cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
device = f"cuda ({torch.cuda.get_device_name(0)})" if cuda else "mps" if mps else "cpu"
build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "ROCm" if torch.version.hip else "CPU"
print(json.dumps({"build": build, "accelerator": device}))
"""


class SetupError(Exception):
    """A failure told in one sentence with its remedy; the exit code is 2 where the user's input is wrong."""

    def __init__(self, sentence: str, code: int = 1) -> None:
        super().__init__(sentence)
        self.code = code


class CommandError(SetupError):
    """A command failed; `failure` is a name from SIGNS, or "unknown"."""

    def __init__(self, output: str, log: Path) -> None:
        self.failure, sentence = explain(output)
        super().__init__(f"{sentence} (details: {log}).")


def explain(output: str) -> tuple[str, str]:
    """The name of a failure, and a sentence about it, from what a command printed."""
    url = re.search(r"https?://(?!pip\.pypa\.io)([^/\s'\"`)]+)", output)  # that one is in pip's advice to root
    host = url[1].rpartition("@")[2] if url else "The package index"  # without the login that a URL may hold
    for failure, sign in SIGNS.items():
        if re.search(sign, output, re.IGNORECASE):
            return failure, REMEDIES[failure].format(host=host)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return "unknown", f"The installation failed: {(errors or lines[-1:] or ['no message'])[0]}"


# ----------------------------------------------------------------------------------------- what is installed, and where


def program_in(environment: PurePath, name: str, windows: bool = WINDOWS) -> PurePath:
    """Where a virtual environment keeps a program."""
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
        import tomllib  # not above: an older Python must get as far as being told that it is too old

        source = root / "pyproject.toml"
        try:
            document = tomllib.loads(source.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SetupError(f"{source} cannot be read ({error}): mend it and run this again.", code=2) from error
        accelerator = document.get("tool", {}).get("finetune", {}).get("accelerator", "auto")
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
    def state(self) -> Path:
        return self.environment / "setup.json"

    @property
    def log(self) -> Path:
        return self.environment / "install.log"

    def fingerprint(self, python_version: str) -> str:
        """Differs whenever the installed packages may have to: other pins, another Python, another place."""
        digest = hashlib.sha256(f"{python_version}\n{self.root}\n".encode())
        for path in (self.root / "pyproject.toml", self.root / self.constraints):
            digest.update(path.read_bytes() if path.is_file() else b"-")
        return digest.hexdigest()


@dataclass
class State:
    """What this script remembers, in the environment itself."""

    whole: bool = True  # False from the first package written to the last
    installed: dict[str, str] = field(default_factory=dict)  # extra -> fingerprint
    facts: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, project: Project) -> State:
        try:
            return cls(**json.loads(project.state.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return cls()

    def save(self, project: Project) -> None:
        """Written beside and swapped in, so that a kill leaves the old or the new one."""
        beside = project.state.with_suffix(".tmp")
        beside.write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")
        beside.replace(project.state)


def mark_incomplete(project: Project) -> None:
    replace(State.load(project), whole=False).save(project)


# -------------------------------------------------------------------------------------------------------- what is shown


class Console:
    """Numbered steps with their times, in plain lines: a terminal, a run window and a log show the same."""

    def __init__(self, stream: TextIO, steps: int = 4) -> None:
        self.stream, self.steps, self.number = stream, steps, 0
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a path may hold letters that the console cannot show

    def step(self, title: str) -> None:
        self.number += 1
        self.started = self.said = time.monotonic()
        self.print(f"[{self.number}/{self.steps}] {title}")

    def doing(self, text: str) -> None:
        """Call often; it says now and then that the step goes on."""
        if time.monotonic() - self.said > QUIET:
            self.done(text)

    def done(self, text: str) -> None:
        self.note(f"{text} ({duration(time.monotonic() - self.started)})")

    def note(self, text: str) -> None:
        self.said = time.monotonic()
        self.print(f"      {text}")

    def print(self, text: str) -> None:
        print(text, file=self.stream, flush=True)


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


class Progress:
    """Reads the lines of uv or pip: what is being fetched, and whether packages may be being written."""

    def __init__(self, doing: str) -> None:
        self.doing = doing
        self.fetching: dict[str, str] = {}  # name -> size
        self.resolved = self.fetched = False

    @property
    def writing(self) -> bool:
        """With a warm cache uv does not say when it starts to write: resolved, and nothing to fetch, may be it."""
        return self.fetched or (self.resolved and not self.fetching)

    def read(self, line: str) -> str | None:
        """Returns what is worth a line of its own in a log."""
        if match := re.match(r"\s*Downloading (\S+) \(([\d.]+) ?([MG]i?B)\)", line):  # what has kB is not
            name, size = match[1], f"{match[2]} {match[3]}"
            if name.endswith((".whl", ".gz")):  # pip names the file, and fetches one at a time
                name, self.fetching = name.split("-")[0], {}
            self.fetching[name] = size
            return f"fetching {name} ({size})"
        if match := re.match(r"\s*Downloaded (\S+)", line):
            self.fetching.pop(match[1], None)
        elif line.startswith("Resolved "):
            self.resolved = True
        elif line.startswith(("Prepared ", "Installing collected packages:")):
            self.fetching, self.fetched = {}, True
        return None

    def __str__(self) -> str:
        if self.fetching:
            return "fetching " + ", ".join(f"{name} ({size})" for name, size in self.fetching.items())
        return "writing packages" if self.fetched else "preparing packages" if self.resolved else self.doing


# ----------------------------------------------------------------------------------------------------- running commands


def child_variables() -> dict[str, str]:
    """This process's variables, less those that would send imports or packages elsewhere."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
    return {**kept, "PIP_USER": "0", "PYTHONUTF8": "1", "NO_COLOR": "1", "UV_NO_PROGRESS": "1"}


def ask(*command: str | Path) -> str | None:
    """What a short command prints; None where it does not run."""
    parts = [str(part) for part in command]
    try:
        done = subprocess.run(parts, capture_output=True, env=child_variables(), timeout=120, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", errors="replace")


class Runner:
    """Runs the long commands in the project's folder: their lines go to the log, their progress to the console."""

    def __init__(self, project: Project, console: Console) -> None:
        self.project, self.console = project, console

    def run(
        self,
        *command: str | Path,
        doing: str,
        variables: dict[str, str] | None = None,
        before_writing: Callable[[], None] = lambda: None,
    ) -> str:
        """Return what the command printed; raise CommandError where it fails.

        Ctrl-C reaches only this process and stops the command from here; while it writes packages it may first finish,
        which takes seconds, so that no package is left half written.
        """
        parts = [str(part) for part in command]
        child = start(parts, self.project.root, {**child_variables(), **(variables or {})})
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=pump, args=(child.stdout, lines), daemon=True).start()
        progress, printed, interrupted = Progress(doing), [f"$ {shlex.join(parts)}\n"], False
        try:
            while True:
                try:
                    self.console.doing(str(progress))
                    line = lines.get(timeout=TICK)
                    if line is None:
                        break
                    printed.append(line)
                    was_writing = progress.writing
                    if news := progress.read(line):
                        self.console.note(news)
                    if progress.writing and not was_writing:
                        before_writing()
                except queue.Empty:
                    pass
                except KeyboardInterrupt:
                    if interrupted or not progress.writing:
                        stop(child)
                        raise
                    interrupted = True
                    self.console.note("packages are being written; stopping right after (Ctrl-C again: at once)")
        finally:
            with self.project.log.open("a", encoding="utf-8") as log:
                log.writelines(printed)
        failed = child.wait() != 0
        if interrupted:
            raise KeyboardInterrupt
        output = "".join(printed[1:])
        if failed:
            raise CommandError(output, self.project.log)
        return output


def start(command: list[str], folder: Path, variables: dict[str, str]) -> subprocess.Popen[str]:
    """Start a command in a process group of its own, with both outputs in one pipe."""
    own_group: dict[str, Any] = {"start_new_session": True}
    if WINDOWS:
        own_group = {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
    return subprocess.Popen(
        command,
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        **own_group,
    )


def pump(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def stop(child: subprocess.Popen[str]) -> None:
    """End a command and what it started."""
    if WINDOWS:
        child.terminate()
    else:
        os.killpg(child.pid, signal.SIGTERM)
    child.wait()


# --------------------------------------------------------------------------------------------- where packages come from


@dataclass(frozen=True)
class Sources:
    """Where uv looks for packages: variables rather than flags, because URLs may hold logins."""

    variables: dict[str, str]
    flags: list[str]

    @property
    def chosen_by_user(self) -> bool:
        named = {**os.environ, **self.variables}
        return "--no-index" in self.flags or any(name in named for name in UV_LOCATIONS)


def pip_options(listing: str) -> dict[str, str]:
    """Read what `pip config list` prints; as in pip, a variable beats [install], and that beats [global]."""
    options: dict[str, str] = {}
    for scope in ("global", "install", ":env:"):
        for name, value in re.findall(rf"^{scope}\.([\w-]+)=(.+)$", listing, re.MULTILINE):
            options[name] = str(ast.literal_eval(value.strip()))
    return options


def uv_sources(pip: dict[str, str], root: Path) -> Sources:
    """Say the same to uv; what the user told uv itself stands."""
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
    return Sources(told, flags)


def location_uri(location: str, root: Path) -> str | None:
    """A place of packages as uv takes it; None for a folder that is not there, which pip forgives and uv does not."""
    scheme = urlsplit(location).scheme
    if len(scheme) > 1 and scheme != "file":  # a single letter is a Windows drive
        return location.replace(",", "%2C")  # uv ends an entry at a comma
    path = root / (url2pathname(urlsplit(location).path) if scheme == "file" else os.path.expanduser(location))
    return path.resolve().as_uri().replace(",", "%2C") if path.exists() else None


def torch_backend(accelerator: str, system: str, chosen_by_user: bool) -> str | None:
    """uv's word for the torch build to fetch; None leaves the choice to the index.

    A user's own sources decide alone, for with a backend uv fetches torch from elsewhere. On macOS there is one build;
    the default index serves the CUDA build to Linux but the CPU build to Windows.
    """
    if chosen_by_user or system == "Darwin":
        return None
    if accelerator == "cuda":
        return "auto" if system == "Windows" else None
    return accelerator


# ------------------------------------------------------------------------------------------------------------ the steps


def version(text: str) -> tuple[int, ...]:
    """(3, 11, 7) from "3.11.7" or "3.13.0rc1"."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def probe(project: Project) -> dict[str, Any] | None:
    """The environment's Python version, whether it has pip, its torch version; None where it does not run."""
    printed = ask(project.python, "-I", "-c", PROBE)
    return json.loads(printed) if printed else None


def was_moved(project: Project) -> bool:
    """A venv's programs hold its path, and pyvenv.cfg names the one it was made for (without that line: trust it)."""
    settings = (project.environment / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace")
    made_by = [line for line in settings.splitlines() if line.startswith("command = ")]
    here = os.path.normcase(f" {project.environment}")
    return any(not os.path.normcase(line.rstrip()).endswith(here) for line in made_by)


def is_ready(project: Project) -> bool:
    """Whether the environment runs, is whole, and was installed from exactly these pins in this place."""
    found, state = probe(project), State.load(project)
    return (
        found is not None
        and state.whole
        and state.installed.get(project.extra) == project.fingerprint(found["python"])
        and state.facts.get("torch") == found["torch"]
    )


def make_environment(project: Project, runner: Runner) -> str:
    """See to a venv that runs, stands where it was made, and has pip; says what was done."""
    found = probe(project)
    if found is None or version(found["python"]) < OLDEST_PYTHON:
        said = rebuild(project, runner)
        found = {"pip": False}
    elif was_moved(project):
        said = mend_moved(project, runner)
    else:
        said = f"Python {found['python']} in .venv"
    if not found["pip"]:
        runner.run(project.python, "-m", "ensurepip", "--upgrade", "--default-pip", doing="adding pip")
    return said


def rebuild(project: Project, runner: Runner) -> str:
    """Make a new environment; one that does not run is set aside, and comes back if that fails."""
    aside = project.environment.with_name(".venv.old")
    broken = os.path.lexists(project.environment)
    if broken:
        remove(aside)
        project.environment.rename(aside)
    try:
        project.environment.mkdir()
        runner.run(sys.executable, "-m", "venv", "--without-pip", project.environment, doing="making .venv")
    except BaseException:
        remove(project.environment)
        if broken:
            aside.rename(project.environment)
        raise
    remove(aside)
    return f".venv made with Python {platform.python_version()}" + (", in place of a broken one" if broken else "")


def remove(path: Path) -> None:
    """Delete a folder, file or link; one that is not there is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def mend_moved(project: Project, runner: Runner) -> str:
    """Write the venv's own files anew in place; the reinstallation that follows does so for all programs."""
    mark_incomplete(project)
    try:
        runner.run(project.python, "-m", "venv", "--without-pip", project.environment, doing="mending .venv")
    except CommandError as error:  # Windows does not replace a python.exe that runs
        raise SetupError(
            f"{project.environment} was moved and cannot be mended: delete it and run this again."
        ) from error
    return ".venv mended after its folder was moved"


def find_uv(project: Project, runner: Runner) -> Path | None:
    """uv from the environment or the PATH, else fetched with pip; None where the user's sources have none."""
    ours = Path(program_in(project.environment, "uv"))
    for uv in (ours, shutil.which("uv")):
        printed = ask(uv, "--version") if uv else None
        if uv and printed and version(printed) >= OLDEST_UV:
            return Path(uv)
    try:
        runner.run(*pip_install(project), "uv", doing="fetching uv")
    except CommandError as error:
        if error.failure in ("versions", "unknown"):
            return None
        raise  # any other package would fail in the same way
    return ours


def pip_install(project: Project) -> tuple[str | Path, ...]:
    return project.python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar=off"


def install(project: Project, runner: Runner, uv: Path | None, sources: Sources) -> str:
    """Install the project with its pins, by uv; where that fails pip tries too. Says what was done."""

    def install_by(*command: str | Path, repair: str, variables: dict[str, str] | None = None) -> str:
        what = ("-e", f".[{project.extra}]" if project.extra else ".", "-c", project.constraints)
        again = () if State.load(project).whole else (repair,)
        output = runner.run(
            *command,
            *again,
            *what,
            doing="choosing packages",
            variables=variables,
            before_writing=lambda: mark_incomplete(project),
        )
        return f"{count_packages(output)} packages installed or changed"

    if uv:
        backend = torch_backend(project.accelerator, platform.system(), sources.chosen_by_user)
        choice = ("--torch-backend", backend) if backend and "UV_TORCH_BACKEND" not in os.environ else ()
        command = (uv, "pip", "install", "--python", project.python, *sources.flags, *choice)
        try:
            return install_by(*command, repair="--reinstall", variables=sources.variables)
        except CommandError as error:
            if error.failure in ("disk", "rights"):
                raise
            runner.console.note("uv did not succeed; trying pip, which is slower and takes the index's own torch build")
    return install_by(*pip_install(project), repair="--force-reinstall")


def count_packages(output: str) -> int:
    """How many packages uv or pip says that it wrote."""
    by_uv = re.search(r"^Installed (\d+) package", output, re.MULTILINE)
    by_pip = re.search(r"^Successfully installed (.+)$", output, re.MULTILINE)
    return int(by_uv[1]) if by_uv else len(by_pip[1].split()) if by_pip else 0


def check_space(project: Project, found: dict[str, Any] | None) -> None:
    """Torch and what it brings take about 2 GB, with CUDA 8 GB: better said before the download than in its middle."""
    if found and found["torch"]:
        return
    has_gpu = project.accelerator == "auto" and shutil.which("nvidia-smi") is not None
    needed = 8 if project.accelerator == "cuda" or has_gpu else 2
    free = shutil.disk_usage(project.root).free / 1e9
    if free < needed:
        raise SetupError(f"{project.root} has {free:.1f} GB free and about {needed} GB are needed: free some space.")


def torch_facts(project: Project, runner: Runner) -> dict[str, str]:
    """Load torch in the environment, which proves that it works there, and ask what it sees."""
    found = probe(project)
    if found is None:
        raise SetupError(f"{project.python} no longer runs: run this again, it makes a new one.")
    facts = {"python": found["python"]}
    if found["torch"]:
        printed = runner.run(project.python, "-c", TORCH_FACTS, doing="loading torch")
        facts.update(torch=found["torch"], **json.loads(printed.splitlines()[-1]))
    return facts


def set_up(project: Project, console: Console) -> State:
    """Bring the environment to what pyproject.toml and the constraints say; nothing is done where it is."""
    if is_ready(project):
        return State.load(project)
    check_space(project, probe(project))
    project.log.unlink(missing_ok=True)
    runner = Runner(project, console)
    console.step("Environment")
    console.done(make_environment(project, runner))
    console.step("Installer")
    sources = uv_sources(pip_options(ask(project.python, "-m", "pip", "config", "list") or ""), project.root)
    uv = find_uv(project, runner)
    console.done("uv" if uv else "pip; without uv, the torch build is the one that the index prefers")
    console.step("Packages")
    before = State.load(project)
    console.done(install(project, runner, uv, sources))
    console.step("Check")
    facts = torch_facts(project, runner)
    others = before.installed if before.whole else {}  # a repair covers this extra's packages only
    state = State(True, {**others, project.extra: project.fingerprint(facts["python"])}, facts)
    state.save(project)
    console.done("the environment works")
    return state


# ----------------------------------------------------------------------------------------------------- the command line


def check_python() -> None:
    if sys.version_info < OLDEST_PYTHON:
        raise SetupError(
            f"Python 3.11 or newer is needed, and {sys.executable} is {platform.python_version()}: "
            "start this with a newer one, or choose one in PyCharm (Settings, Python, Interpreter)."
        )


def describe(facts: dict[str, str]) -> str:
    """One line about what is installed."""
    if "torch" not in facts:
        return f"Python {facts['python']}"
    return f"Python {facts['python']}, torch {facts['torch']} ({facts['build']} build), device {facts['accelerator']}"


def summary(project: Project, facts: dict[str, str]) -> str:
    """What is installed, and what to do next."""
    lines = [describe(facts)]
    if project.accelerator == "cuda" and not facts.get("accelerator", "").startswith("cuda"):
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
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # PyCharm's stop button is as gentle as Ctrl-C
    started = time.monotonic()
    check_python()
    project, console = Project.read(Path(__file__).resolve().parent), Console(sys.stdout)
    state = set_up(project, console)
    how = f"Ready in {duration(time.monotonic() - started)}" if console.number else "Ready, nothing to do"
    console.print(f"{how}: {summary(project, state.facts)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
