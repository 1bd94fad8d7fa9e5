"""A fault for each promise, put into the source, and the test that then fails.

python dev.py bench faults [NAME...]

`mutants.py` draws faults at random; these were chosen. A name is a part of a promise. The test must pass without the
fault; with it, a test that takes more time or memory than it may counts as failed.
"""

import argparse
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from injected import ROOT, Fault
from injected.hostile import FAULTS as HOSTILE

SECONDS, MEMORY = 600, 6 << 30
PASSED, FAILED = 0, 1
"""Exit codes of pytest."""

CRASH, CORRUPTION, KILLS = "proofs/test_crashes.py::", "proofs/test_corruption.py::", "proofs/test_kills.py::"
RELIABILITY = (
    Fault(
        "what is written is flushed before it gets its name",
        "files.py",
        "*folders, temporary]:\n            _sync(path)",
        "*folders, temporary]:\n            pass",
        CRASH + "test_a_save_leaves_the_new_checkpoint_or_the_one_before",
    ),
    Fault(
        "a finished save stays: its name is flushed",
        "files.py",
        "    _sync(folder.parent)\n    _remove(old)",
        "    _remove(old)",
        CRASH + "test_a_model_or_file_that_is_replaced_is_the_old_one_or_the_new_one",
    ),
    Fault(
        "a finished save stays: the names of new folders are flushed",
        "files.py",
        "        folder.mkdir(exist_ok=True)\n        _sync(folder.parent)",
        "        folder.mkdir(exist_ok=True)",
        CRASH + "test_a_save_leaves_the_new_checkpoint_or_the_one_before",
    ),
    Fault(
        "a file is replaced, not written in place",
        "files.py",
        "    temporary = _temporary(path, folder)\n"
        "    name: str | Path = temporary if folder is None else temporary.name\n"
        "    try:\n        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL",
        "    temporary = path\n"
        "    name: str | Path = temporary if folder is None else temporary.name\n"
        "    try:\n        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC",
        CRASH + "test_a_model_or_file_that_is_replaced_is_the_old_one_or_the_new_one",
    ),
    Fault(
        "the log is on the disk before its checkpoint",
        "train/checkpoint.py",
        "        flush(checkpoints.parent)",
        "        pass",
        CRASH + "test_a_training_goes_on_from_whatever_a_crash_has_left",
    ),
    Fault(
        "a damaged checkpoint is not taken",
        "files.py",
        "                if sha256_of(folder / name) != checksum:",
        "                if not checksum:",
        CORRUPTION + "test_each_file_in_each_way",
    ),
    Fault(
        "keep-last-k counts intact checkpoints",
        "train/checkpoint.py",
        "step_of(other) < step and is_valid(other)",
        "step_of(other) < step or not is_valid(other)",
        CORRUPTION + "test_the_resume_says_why_and_ends_as_if_nothing_had_been",
    ),
    Fault(
        "a resume draws the random numbers of the run",
        "train/checkpoint.py",
        '            _set_random_states(trainer["random"][parts.world.rank])',
        "            pass",
        "test_resume.py::test_resume_bit_exact",
    ),
    Fault(
        "a resumed run logs nothing twice",
        "run/log.py",
        "            kept = [line for line in lines if _step_of(line) <= step]",
        "            kept = lines",
        "test_resume.py::test_resume_bit_exact",
    ),
    Fault(
        "a run without a checkpoint begins anew in its folder, with empty curves",
        "run/log.py",
        "            run.remove(events.name)",
        "            pass",
        KILLS + "test_a_run_without_a_checkpoint_is_resumed_from_its_beginning",
    ),
    Fault(
        "a model that is exported is whole or not there",
        "export/export.py",
        "        publish(folder, write)",
        "        (folder.mkdir(parents=True), write(folder))",
        KILLS + "test_a_command_that_was_killed_is_repeated_as_if_nothing_had_been",
    ),
    Fault(
        "SIGTERM is an interruption at any moment",
        "__main__.py",
        "signal.signal(signal.SIGTERM, signal.default_int_handler)",
        "",
        KILLS + "test_a_signal_ends_a_training_in_seconds_and_a_resume_ends_it",
    ),
    Fault(
        "a signal in the last validation ends the command",
        "train/loop.py",
        "        return setup.world.reduce(stopped.is_set())[0] == 0",
        "        return True",
        KILLS + "test_a_signal_in_the_last_validation_leaves_out_the_evaluation",
    ),
    Fault(
        "a write that failed in the background stops the training",
        "train/background.py",
        "            if self._error:\n                raise self._error",
        "            pass",
        "test_background.py",
    ),
    Fault(
        "a validation loss that is not finite stops",
        "train/loop.py",
        "        require_finite(result, split, run_model)\n",
        "",
        "test_guards.py::test_a_validation_loss_that_is_not_finite_stops_and_names_the_example",
    ),
    Fault(
        "a resumed run reports the same spikes",
        "train/guards.py",
        "    recent.append(loss)",
        "    recent += [] if len(recent) > 5 else [loss]",
        "test_guards.py",
    ),
    Fault(
        "a run folder that is gone is not made anew",
        "run/log.py",
        "        if not self._run.config_file.is_file():",
        "        if False:",
        "test_guards.py::test_a_folder_that_is_gone_is_not_made_anew",
    ),
)


FAULTS = (*RELIABILITY, *HOSTILE)


def is_found(fault: Fault, root: Path) -> bool:
    """Whether its test fails where the fault is in the tree at `root`. Raises ValueError if its place has changed."""
    path = root / fault.source
    before = path.read_text(encoding="utf-8")
    if before.count(fault.text) != 1:
        raise ValueError(f"{fault.file}: has {fault.text!r} {before.count(fault.text)} times: correct the list")
    if not is_sound(*fault.place, root):
        raise ValueError(f"{fault.test}: fails without the fault")
    path.write_text(before.replace(fault.text, fault.instead), encoding="utf-8")
    try:
        return exit_code(*fault.place, root) in (FAILED, None)
    finally:
        path.write_text(before, encoding="utf-8")


@cache
def is_sound(folder: str, test: str, root: Path) -> bool:
    """Whether a test passes without any fault."""
    return exit_code(folder, test, root) == PASSED


def exit_code(folder: str, test: str, root: Path) -> int | None:
    """That of pytest, run in a folder of the tree; None where it takes longer than it may."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-m", "", "-p", "no:cacheprovider", test]
    child = subprocess.Popen(
        command,
        cwd=root / folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY)),
    )
    try:
        return child.wait(SECONDS)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def copy_repository(target: Path) -> None:
    """Copy the files that git knows, into a repository, as some tests ask git for them."""
    subprocess.run(["git", "init", "--quiet", target], check=True)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name, follow_symlinks=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts of the promises; by default all")
    names = parser.parse_args().names
    chosen = [fault for fault in FAULTS if not names or any(name in fault.promise for name in names)]
    print("| promise | fault in | test | found |\n| --- | --- | --- | --- |")
    survived = 0
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        copy_repository(root)
        for fault in chosen:
            found = is_found(fault, root)
            survived += not found
            print(f"{fault.row} {'yes' if found else '**no**'} |", flush=True)
    print(f"\n{len(chosen)} faults, {survived} not found")
    return min(survived, 1)


if __name__ == "__main__":
    sys.exit(main())
