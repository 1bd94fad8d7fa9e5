"""Mutation testing of the package by mutmut: faults put into it one by one, and how many the tests find.

python dev.py bench mutants [--count N] [--seed N] [--keep FOLDER]

A random sample of the mutants of train/, tasks/, data/, model/ and continual/ in a generated project. mutmut records
which tests execute which function, and runs only those, the quickest first, until one fails. The tests are the fast
ones and the proofs, except those that start processes of their own or compile code, which do not run inside of mutmut.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from ft_template.create.bake import bake

FOLDERS = ("train", "tasks", "data", "model", "continual")
LEFT_OUT = (
    # They start processes or compile code.
    *("proofs/test_distributed.py", "proofs/test_compilation.py", "proofs/test_export_onnx.py"),
    # They look at files of the project that mutmut does not copy.
    "test_project.py",
)
SETTINGS = """
[tool.mutmut]
source_paths = ["src/finetune/"]
only_mutate = {only}
also_copy = [".idea", "configs", "data", "schemas", "README.md", "constraints.txt", "setup_env.py"]
pytest_add_cli_args = {arguments}
pytest_add_cli_args_test_selection = ["tests"]
# Texts for people: tests need not find a changed letter in them. The last one is pickled by torch, which does not take
# what mutmut makes of a function.
do_not_mutate_patterns = ['UserError\\(', 'console\\.print\\(', 'raise ', 'warnings\\.', 'self\\.scale \\* min\\(']
"""
NOBODY = "finetune.nothing*"
"""A pattern that no mutant matches: mutmut makes all mutants and records the tests, and runs none."""
SURVIVED, NO_TESTS = 0, 33
"""mutmut's exit codes for mutants that no test has found."""


def generate(folder: Path) -> Path:
    """A project with default answers, ready for mutmut."""
    project = bake(folder, {"project_name": "Mutants", "environment": "none"})
    arguments = ["-p", "no:xdist", "-m", "", *(f"--ignore=tests/{name}" for name in LEFT_OUT)]
    only = [f"src/finetune/{name}/*" for name in FOLDERS]
    with (project / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(SETTINGS.format(only=json.dumps(only), arguments=json.dumps(arguments)))
    return project


def mutmut(project: Path, *names: str) -> None:
    """Run mutmut on mutants by name; its results are in the project's folder `mutants`."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-m", "mutmut", "run", *names], cwd=project, env=environment, check=False)


def exit_codes(project: Path) -> dict[str, int | None]:
    """The exit code of pytest for each mutant by name; None for those that were not run."""
    found: dict[str, int | None] = {}
    for path in (project / "mutants").rglob("*.meta"):
        found |= json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the project; by default a temporary one")
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        project = generate(options.keep or Path(temporary))
        mutmut(project, NOBODY)
        every = sorted(exit_codes(project))
        sample = random.Random(options.seed).sample(every, min(options.count, len(every)))
        mutmut(project, *sample)
        codes = exit_codes(project)
        if not sample or any(codes[name] is None for name in sample):
            print("mutmut has not come to its end; its output is above")
            return 1
        survivors = [name for name in sample if codes[name] in (SURVIVED, NO_TESTS)]
        print(f"\n{len(every)} mutants, sample of {len(sample)} (seed {options.seed})")
        by_folder, left = (Counter(name.split(".")[1] for name in names) for names in (sample, survivors))
        for name, number in sorted(by_folder.items()):
            print(f"  {name:10} {number - left[name]:4} of {number:4} caught")
        caught = len(sample) - len(survivors)
        print(f"{caught} of {len(sample)} caught ({caught / len(sample):.0%}), {time.monotonic() - started:.0f} s")
        for name in survivors:
            print(f"\nsurvived ({'no test' if codes[name] == NO_TESTS else 'tests passed'}): {name}", flush=True)
            subprocess.run([sys.executable, "-m", "mutmut", "show", name], cwd=project, check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
