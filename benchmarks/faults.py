"""Injected faults: for each promise of SECURITY.md and docs/reliability.md a fault, and the test that must fail.

python dev.py bench faults [NUMBER ...] [--table]

Each fault is put into a copy of the repository, in which its test is run: it must pass before and fail with the fault.
A test that does not end within its limits of time and memory counts as failed. --table prints the list for the page.
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
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
SECONDS, MEMORY = 240, 6 << 30
PACKAGE, GENERATOR = "template/src/finetune/", "generator/ft_template/"
PASSED, FAILED = 0, 1
"""Exit codes of pytest."""


class Fault(NamedTuple):
    """A text of a file in place of another one."""

    name: str
    file: str
    old: str
    new: str
    test: str
    """As pytest names it."""

    @property
    def row(self) -> str:
        """The row of the table in docs/reliability.md."""
        return f"| {self.name} | `{self.file.removeprefix(PACKAGE)}` | `{self.test.rpartition('/')[2]}` |"


FAST, PROOFS = "template/tests/", "template/tests/proofs/"
RUNS, FOREIGN, DATA, MODELS = (
    f"{FAST}test_{name}.py::" for name in ("run_folder", "foreign_runs", "hostile_data", "model_folders")
)
CHECK = "tests/test_check_hostile.py::"

FAULTS = [
    # Run folders.
    Fault(
        "trust the artefact: code that a run allows itself is run",
        f"{PACKAGE}run/saved_model.py",
        "if base.trust_remote_code and not trust_remote_code:",
        "trust_remote_code |= base.trust_remote_code\n    if base.trust_remote_code and not trust_remote_code:",
        f"{FAST}test_remote_code.py::test_code_put_into_a_run_is_never_run",
    ),
    Fault(
        "trust the config of a run",
        f"{PACKAGE}config/load.py",
        "model.trust_remote_code=false",
        "model.attention=auto",
        f"{FOREIGN}test_the_config_of_a_run_allows_no_code_wherever_it_is_named",
    ),
    Fault(
        "follow a link in a run",
        f"{PACKAGE}files.py",
        "            if is_link(path):\n",
        "            if False:\n",
        f"{RUNS}test_a_linked_folder_is_not_written_through",
    ),
    Fault(
        "take a path for a plain name",
        f"{PACKAGE}files.py",
        "            if not _is_inside(name):\n",
        "            if False:\n",
        f"{RUNS}test_a_split_is_a_plain_name",
    ),
    Fault(
        "do not compare checksums with the manifest",
        f"{PACKAGE}files.py",
        "    if checksums:\n",
        "    if False:\n",
        f"{RUNS}test_damage_is_named",
    ),
    Fault(
        "do not compare sizes with the manifest",
        f"{PACKAGE}files.py",
        "    return None if size in (None, found.st_size) else",
        "    return None if True else",
        f"{RUNS}test_checksums_can_be_left_out",
    ),
    Fault(
        "load a model without looking at its manifest",
        f"{PACKAGE}run/folder.py",
        '    wrong = damage(best, checksums=checksums) if os.path.lexists(best) else "is missing"\n',
        '    wrong = None if os.path.lexists(best) else "is missing"\n',
        f"{RUNS}test_a_damaged_model_is_named_or_the_one_before_it_is_used",
    ),
    Fault(
        "pass over an intact best.old",
        f"{PACKAGE}run/folder.py",
        "    if is_folder(earlier) and not is_link(earlier) and damage",
        "    if False and damage",
        f"{RUNS}test_a_kill_between_two_renames_hides_the_model_from_no_command",
    ),
    Fault(
        "count the copy of a checkpoint as one",
        f"{PACKAGE}run/folder.py",
        "if STEP.fullmatch(path.name) and is_folder(path)",
        "if STEP.match(path.name) and is_folder(path)",
        f"{RUNS}test_what_is_not_ours_is_left_alone",
    ),
    Fault(
        "write a report without a temporary folder",
        f"{PACKAGE}files.py",
        '        temporary = _temporary(self.path / "files")\n        temporary.mkdir()\n',
        "        yield self.path\n        for path in self.path.iterdir():\n            _sync(path)\n        return\n",
        f"{RUNS}test_a_report_that_fails_leaves_the_one_before",
    ),
    Fault(
        "write a file under its own name",
        f"{PACKAGE}files.py",
        '    temporary = _temporary(path)\n    try:\n        with temporary.open("xb")',
        '    temporary = path\n    try:\n        with temporary.open("wb")',
        f"{RUNS}test_a_failed_write_leaves_nothing",
    ),
    Fault(
        "make the folder of a run file by file",
        f"{PACKAGE}run/folder.py",
        "        with new_folder(self.path) as folder:\n",
        "        make_folders(self.path)\n        for folder in [Folder(self.path)]:\n",
        f"{RUNS}test_a_run_is_made_whole_or_not_at_all",
    ),
    Fault(
        "leave the temporary files of killed processes",
        f"{PACKAGE}files.py",
        "            if _is_leftover(path):\n",
        "            if False:\n",
        f"{RUNS}test_leftovers_of_killed_processes_are_removed_at_the_next_start",
    ),
    Fault(
        "read any file that a run names as its data",
        f"{PACKAGE}run/named_files.py",
        "run) or checksum(path) in recorded\n",
        "run) or True\n",
        f"{FOREIGN}test_data_outside_the_project_are_not_read_for_a_run",
    ),
    Fault(
        "take what a link in the project leads to for a file of it",
        f"{PACKAGE}run/named_files.py",
        "_is_of_project(path.resolve(), run)",
        "_is_of_project(path.absolute(), run)",
        f"{FOREIGN}test_data_outside_the_project_are_not_read_for_a_run",
    ),
    Fault(
        "go on from any run that a run names",
        f"{PACKAGE}run/named_files.py",
        "manifest.is_file() and checksum(manifest) in recorded",
        "manifest.is_file()",
        f"{FOREIGN}test_an_earlier_run_is_the_one_that_was_recorded",
    ),
    Fault(
        "load any base model that a run names",
        f"{PACKAGE}run/saved_model.py",
        "    return _checksums(base) == files and",
        "    return True or _checksums(base) == files and",
        f"{FOREIGN}test_a_base_model_is_the_one_that_was_recorded",
    ),
    Fault(
        "let a tokenizer read any file",
        f"{PACKAGE}model/foreign_files.py",
        "        if (key in ARGUMENTS and _names_a_file(value)) or",
        "        if False and",
        f"{FOREIGN}test_a_tokenizer_is_read_from_its_own_files",
    ),
    Fault(
        "let a model choose its attention kernel",
        f"{PACKAGE}model/load.py",
        "    config._attn_implementation = model.attn_implementation\n",
        "",
        f"{FOREIGN}test_a_saved_model_names_no_kernels",
    ),
    Fault(
        "truncate whatever the state of a monitor names",
        f"{PACKAGE}monitor/journal.py",
        '{name: int(found["sizes"][name]) for name in self.sizes}',
        '{name: int(size) for name, size in found["sizes"].items()}',
        f"{FOREIGN}test_a_monitor_truncates_its_own_files_only",
    ),
    # Model folders.
    Fault(
        "take the pointer of Git LFS for the file",
        f"{PACKAGE}model/folder_checks.py",
        "    if beginning == LFS_POINTER:\n",
        "    if False:\n",
        f"{MODELS}test_what_is_no_file_with_content_is_named",
    ),
    Fault(
        "load weights that are cut",
        f"{PACKAGE}model/folder_checks.py",
        "    _require_content(path)\n    with parsing(",
        "    return\n    with parsing(",
        f"{MODELS}test_weights_that_are_cut_or_of_another_kind_are_named",
    ),
    Fault(
        "load the files of other folders that an index names",
        f"{PACKAGE}model/folder_checks.py",
        '        if name != Path(name).name or "\\\\" in name or not',
        "        if not",
        f"{MODELS}test_an_index_names_the_files_of_its_folder",
    ),
    # Data and configs.
    Fault(
        "turn only some exceptions of a parser into a sentence",
        f"{PACKAGE}parsing.py",
        "    except Exception as error:\n        told",
        "    except ValueError as error:\n        told",
        f"{DATA}test_a_value_that_python_cannot_hold_is_an_invalid_row",
    ),
    Fault(
        "no limit of depth for JSON",
        f"{PACKAGE}parsing.py",
        "    for _ in range(DEEPEST + 1):\n",
        "    for _ in range(10**9):\n",
        f"{DATA}test_lists_and_objects_are_read_up_to_the_budget_of_depth",
    ),
    Fault(
        "no limit of time for a pattern",
        f"{PACKAGE}data/patterns.py",
        ".search(text, timeout=limit)",
        ".search(text)",
        f"{DATA}test_a_pattern_has_a_limit_of_time",
    ),
    Fault(
        "read a pattern in another way than Python",
        f"{PACKAGE}data/patterns.py",
        "regex.compile(PART.sub(_as_in_re, pattern))",
        "regex.compile(pattern)",
        f"{DATA}test_a_pattern_means_what_it_means_to_python",
    ),
    Fault(
        "decompress without a limit",
        f"{PACKAGE}data/opening.py",
        "        if self._read > self._most:\n",
        "        if False:\n",
        f"{DATA}test_a_compressed_bomb_is_refused",
    ),
    Fault(
        "open named pipes and devices as data",
        f"{PACKAGE}parsing.py",
        "    if not stat.S_ISREG(status.st_mode):\n",
        "    if False:\n",
        f"{DATA}test_what_is_no_regular_file_is_refused",
    ),
    Fault(
        "expand the aliases of a config without a limit",
        f"{PACKAGE}config/yaml_lines.py",
        "        if self._values > MOST_VALUES:\n",
        "        if False:\n",
        f"{FAST}test_hostile_configs.py::test_a_hostile_config_is_refused_with_its_place",
    ),
    Fault(
        "accept tags of YAML",
        f"{PACKAGE}config/yaml_lines.py",
        "        if node.tag not in TAGS[type(node)]:\n",
        "        if False:\n",
        f"{FAST}test_hostile_configs.py::test_a_hostile_config_is_refused_with_its_place",
    ),
    # Secrets.
    Fault(
        "print a URL with its secrets",
        f"{PACKAGE}urls.py",
        "    return URL.sub(",
        "    return text or URL.sub(",
        f"{FAST}test_urls.py::test_a_url_is_shown_without_secrets",
    ),
    Fault(
        "print user and password of a URL",
        f"{PACKAGE}urls.py",
        'USER.sub("", url[2])',
        "url[2]",
        f"{PROOFS}test_secrets.py::test_no_secret_is_printed_or_replied",
    ),
    Fault(
        "answer without the API key",
        f"{PACKAGE}serving/gate.py",
        "        if not hmac.compare_digest(",
        "        if False and not hmac.compare_digest(",
        f"{FAST}test_serving.py::test_an_api_key_opens_the_work_and_not_the_probes",
    ),
    Fault(
        "keep downloaded bytes whatever their checksum",
        f"{PACKAGE}hub/download.py",
        "    if not _is_intact(path, file):\n        path.unlink()",
        "    if False:\n        path.unlink()",
        f"{PROOFS}test_fetch.py::test_wrong_bytes_are_refused",
    ),
    # The generator.
    Fault(
        "check files of any size",
        f"{GENERATOR}reading.py",
        "    if len(content) > limit:\n",
        "    if False:\n",
        f"{CHECK}test_only_regular_files_of_the_project_are_read",
    ),
    Fault(
        "check what a link outside of the project leads to",
        f"{GENERATOR}reading.py",
        "    if not found.is_relative_to(within):\n",
        "    if False:\n",
        f"{CHECK}test_only_regular_files_of_the_project_are_read",
    ),
    Fault(
        "no limit of time for a rule of check",
        f"{GENERATOR}check/limited.py",
        "        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))\n",
        "",
        f"{CHECK}test_endless_work_ends_with_the_rule_that_does_it",
    ),
    Fault(
        "expand the aliases of a project's YAML without a limit",
        f"{GENERATOR}parsing.py",
        "    if counts[id(node)] > MOST_VALUES:\n",
        "    if False:\n",
        f"{CHECK}test_whatever_the_text_a_parser_raises_value_error",
    ),
    Fault(
        "print control characters of a project",
        f"{GENERATOR}check/rules/rule.py",
        "character if character.isprintable() else",
        "character if True else",
        f"{CHECK}test_the_command_prints_no_control_characters",
    ),
    Fault(
        "ignore the hashes of the pins",
        "template/setup_env.py",
        "                *pinned_files(project),\n",
        "",
        "tests/test_setup_env.py::test_a_package_that_is_not_the_pinned_file_is_refused",
    ),
]


def apply(fault: Fault, root: Path) -> str:
    """Put the fault into the tree at `root`; returns the text of the file before."""
    path = root / fault.file
    before = path.read_text(encoding="utf-8")
    assert before.count(fault.old) == 1, f"{fault.name}: {fault.file} has changed"
    path.write_text(before.replace(fault.old, fault.new), encoding="utf-8")
    return before


def exit_code(test: str, root: Path) -> int | None:
    """The exit code of pytest for a test; None if it does not end in time."""
    folder = root / "template" if test.startswith("template/") else root
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-m", "", "-p", "no:cacheprovider"]
    child = subprocess.Popen(
        [*command, test.removeprefix("template/")],
        cwd=folder,
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


def copied(target: Path) -> Path:
    """A copy of the files that git knows."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name, follow_symlinks=False)
    return target


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("numbers", nargs="*", type=int, metavar="NUMBER", help="of the list; all by default")
    parser.add_argument("--table", action="store_true", help="print the rows of the table, and run nothing")
    options = parser.parse_args()
    if options.table:
        print(*(fault.row for fault in FAULTS), sep="\n")
        return 0
    chosen = options.numbers or range(1, len(FAULTS) + 1)
    sound: dict[str, bool] = {}
    missed = 0
    with tempfile.TemporaryDirectory() as temporary:
        root = copied(Path(temporary))
        for number in chosen:
            fault = FAULTS[number - 1]
            if fault.test not in sound:
                sound[fault.test] = exit_code(fault.test, root) == PASSED
            before = apply(fault, root)
            code = exit_code(fault.test, root)
            (root / fault.file).write_text(before, encoding="utf-8")
            outcome = {FAILED: "found", None: "found: the test does not end"}.get(code, f"NOT FOUND (exit code {code})")
            if not sound[fault.test]:
                outcome = "NOT KNOWN: the test fails without it"
            missed += outcome.startswith("NOT")
            print(f"{number:3} {fault.name}: {outcome}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} faults are found")
    return min(missed, 1)


if __name__ == "__main__":
    sys.exit(main())
