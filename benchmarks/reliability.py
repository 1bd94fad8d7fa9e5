"""What is lost when commands are killed: nothing.

python dev.py bench reliability [--kills N] [--states N] [--steps N] [--seed N] [--part kills signals states growth]
    [--command NAME...] [--wheels FOLDER]

kills: SIGKILL at random moments of every command that writes, of `ft-template new` and of `setup_env.py`. Each is
repeated, or resumed, and what it leaves is compared bit by bit with a command that ran through.
signals: SIGINT and SIGTERM at random moments; the exit code, and how long the command takes to end.
states: what a disk may hold after a power failure, computed from the operations of a training and of a save; a sample
is resumed from, and compared likewise.
growth: memory and files of a training of many steps.
"""

import argparse
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

# The tests of the package first: its conftest.py is meant.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "generator"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "template" / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "template" / "tests" / "proofs"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "template" / "tests"))

import pytest
import test_crashes
import test_fetch
import test_setup_env
from conftest import as_hub, filled
from finetune.cli import main as finetune_main
from finetune.config.load import load_config
from ft_template.cli import main as ft_template_main
from kills import (
    Kills,
    Verb,
    copied,
    finetune,
    kill_often,
    last_line,
    left_by,
    start,
    stopped,
    uninterrupted,
    verbs,
)
from kills import wait as exit_code
from test_growth import LONG, grown
from test_kills import LOOP

SHARES = {"train": 0.4, "setup_env.py (uv)": 0.05, "setup_env.py (pip)": 0.05}
"""Shares of the kills; the other commands have equal ones of the rest. Kills of one command alone are all of its."""


@contextmanager
def quiet() -> Iterator[None]:
    """Without what commands in this process print."""
    sys.stdout.flush()
    kept, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
        os.close(null)


def prepare(folder: Path) -> None:
    """A project with a finished run."""
    folder.mkdir()
    project = filled(folder)
    config = project.config("text-classification", train=LOOP)
    project.config("text-classification", name="forms")
    os.chdir(folder)
    with quiet():
        assert finetune_main(["train", str(config.relative_to(folder)), "run.name=done"]) == 0
        shutil.copytree("runs/done", "runs/other")
    os.chdir(folder.parent)


def new_project() -> int:
    """`ft-template new`, with temporary files where they are removed after the trial."""
    os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(dir=Path.cwd().parent)
    return ft_template_main(["new", "--json", "--no-input", "--set", "environment=none"])


def kill_installations(name: str, wheels: Path, uv: Path | None, folder: Path, kills: int, seed: int) -> Kills:
    """Kill `setup_env.py` while it installs other versions of packages, with what it has started or alone."""
    tiny, draw, found = test_setup_env.Tiny(folder, wheels, uv), random.Random(seed), Kills(name)
    whole = {}
    for pin in ("1.0", "1.1"):
        tiny.pin(pin)
        began = time.monotonic()
        assert tiny.set_up().returncode == 0
        whole[pin], duration = tiny.packages(), time.monotonic() - began
    pin = "1.1"
    while found.kills < kills:
        pin = "1.0" if pin == "1.1" else "1.1"
        tiny.pin(pin)
        share, installer = draw.random(), draw.random() < 0.5
        found.kills += tiny.killed(share * duration, installer)
        result = tiny.set_up()
        where = f"{name}, seed {seed}, killed at {share:.3f} of the time{' with its installer' if installer else ''}"
        if result.returncode != 0 or tiny.installed() != pin:
            found.lost.append(f"{where}: exit code {result.returncode}: {result.stderr.strip()}")
        elif tiny.packages() != whole[pin]:
            found.unequal.append(where)
    return found


def kill_all(
    folder: Path, kills: int, seed: int, wanted: list[str], real_wheels: Path | None = None
) -> Iterator[Kills]:
    """The wanted ones of all commands that write; none: all. `real_wheels`: packages that are installed as well."""
    prepared, empty, scratch = folder / "prepared", folder / "empty", folder / "scratch"
    empty.mkdir()
    scratch.mkdir()
    fetch = Verb("fetch", finetune("fetch", test_fetch.NAME))
    clean = Verb("doctor --clean", finetune("doctor", "--clean"))
    new = Verb("ft-template new", new_project, done="exists already", leaves=r"^\.my-project\.")
    here = [(verb, prepared) for verb in (*verbs("config.yaml"), fetch, clean)] + [(new, empty)]
    uv = test_setup_env.find_uv()
    installers = {"setup_env.py (pip)": None, **({"setup_env.py (uv)": uv} if uv else {})}
    rest = (1 - sum(SHARES.values())) / (len(here) - 1)

    def number(name: str) -> int:
        return kills if wanted == [name] else max(1, round(kills * SHARES.get(name, rest)))

    for verb, start_from in here:
        if wanted and verb.name not in wanted:
            continue
        with pytest.MonkeyPatch.context() as patch:
            if verb is fetch:
                patch.setattr(time, "sleep", time.sleep)  # put back at the end
            with as_hub(test_fetch.Hub(), patch):
                yield kill_often(verb, start_from, scratch, number(verb.name), seed)
    wheels = folder / "wheels"
    wheels.mkdir()
    for name, pin in (("alpha", "1.0"), ("alpha", "1.1"), ("beta", "1.0")):
        test_setup_env.make_wheel(wheels, name, pin)
    for wheel in real_wheels.glob("*.whl") if real_wheels else ():
        shutil.copy(wheel, wheels)
    for name, program in installers.items():
        if wanted and name not in wanted:
            continue
        if program:
            (folder / "programs").mkdir()
            program = Path(shutil.copy(program, folder / "programs"))
        yield kill_installations(name, wheels, program, folder / name, number(name), seed)


def report_kills(folder: Path, options: argparse.Namespace) -> int:
    print("| command | kills | lost | not equal |\n| --- | --- | --- | --- |")
    total, faults = Kills("**together**"), []
    for found in kill_all(folder, options.kills, options.seed, options.command, options.wheels):
        print(f"| {found.name} | {found.kills} | {len(found.lost)} | {len(found.unequal)} |", flush=True)
        print("\n".join((*found.lost, *found.unequal)), file=sys.stderr, flush=True)
        total.kills += found.kills
        total.lost += found.lost
        total.unequal += found.unequal
    print(f"| {total.name} | {total.kills} | {len(total.lost)} | {len(total.unequal)} |\n")
    faults = [*total.lost, *total.unequal]
    print("".join(f"- {fault}\n" for fault in faults))
    return len(faults)


def report_signals(folder: Path, options: argparse.Namespace) -> int:
    print("| command | signals | ended by them | longest wait | other exit codes | not equal after |")
    print("| --- | --- | --- | --- | --- | --- |")
    draw, scratch, faults = random.Random(options.seed), folder / "signals", 0
    for verb in verbs("config.yaml"):
        ignored = f"{verb.leaves}|/checkpoints/step-(?!{LOOP['max_steps']}/)"  # one more where it was stopped
        with copied(folder / "prepared", scratch) as project:
            duration, _ = uninterrupted(verb.run, project, scratch)
            whole = left_by(project, ignored)
        longest, codes, unequal = 0.0, [], 0
        for number in (signal.SIGINT, signal.SIGTERM) * (options.kills // 30):
            with copied(folder / "prepared", scratch) as project:
                code, seconds = stopped(verb.run, project, scratch, number, (0.02 + draw.random()) * duration)
                codes.append(code)
                longest = max(longest, seconds * (code == 130))
                again = exit_code(start(verb.again or verb.run, project, scratch))
                is_done = again == 0 or (verb.done and verb.done in last_line(scratch))
                unequal += not is_done or left_by(project, ignored) != whole
        others = [code for code in codes if code not in (0, 130)]
        faults += len(others) + unequal
        print(
            f"| {verb.name} | {len(codes)} | {codes.count(130)} | {longest:.2f} s | {others or 'none'} | {unequal} |",
            flush=True,
        )
    print()
    return faults


def report_states(folder: Path, options: argparse.Namespace) -> int:
    project = folder / "crash" / "project"
    project.mkdir(parents=True)
    os.chdir(project)
    disk, whole = test_crashes.recorded_training(filled(project))
    os.chdir(folder)
    states = [*disk.states()]
    sample = random.Random(options.seed).sample(states, min(options.states, len(states)))
    faults = [told for state in sample if (told := test_crashes.fault(state, whole, folder / "signals"))]
    print("| operations of a training | contents of the disk after a crash | resumed from | not equal |")
    print("| --- | --- | --- | --- |")
    print(f"| {len(disk.ops)} | {len(states):,} | {len(sample)} | {len(faults)} |\n")
    print("".join(f"- {fault}\n" for fault in faults), flush=True)
    return len(faults)


def report_growth(folder: Path, options: argparse.Namespace) -> int:
    os.chdir(folder / "prepared")
    found = grown(load_config(Path("config.yaml"), [f"train.max_steps={options.steps}", *LONG]))
    os.chdir(folder)
    print("| steps | resident memory: MB | files of the run | their size: kB |\n| --- | --- | --- | --- |")
    for step, memory, files, size in found:
        print(f"| {step:,} | {memory / 1e6:.1f} | {files} | {size / 1e3:.1f} |")
    print(flush=True)
    (_, memory, files, _), *_, (_, last_memory, last_files, _) = found
    return int(last_memory > memory + 20e6) + int(last_files > files)


PARTS: dict[str, Callable[[Path, argparse.Namespace], int]] = {
    "kills": report_kills,
    "signals": report_signals,
    "states": report_states,
    "growth": report_growth,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--states", type=int, default=200)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=[*PARTS])
    parser.add_argument("--command", nargs="+", default=[], help="kill these only")
    parser.add_argument("--wheels", type=Path, help="folder of wheels that setup_env.py installs as well")
    options = parser.parse_args()
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "safetensors"))
    print(f"{platform.platform()}, Python {platform.python_version()}, {versions}, seed {options.seed}\n")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "signals").mkdir()
        prepare(folder / "prepared")
        faults = sum(PARTS[part](folder, options) for part in options.part)
    print(f"failures: {faults}")
    return min(faults, 1)


if __name__ == "__main__":
    sys.exit(main())
