"""Check a project in a child process of limited time and memory: some patterns and schemas are endless work."""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from .check import sorted_faults
from .fault import Fault, Place
from .project.project import Project
from .rules.all import RULES

SECONDS = 9
"""Processor time; a project takes a tenth of a second."""
WAITING = 60
"""Seconds on the clock."""
MEMORY = 2 << 30
"""Bytes."""
PACKAGES = Path(__file__).resolve().parents[2]
# -P: import nothing from the current folder.
CODE = "import sys; sys.path.insert(0, sys.argv[1]); from ft_template.check.limited import main; main()"


def check_limited(folder: Path, seconds: int = SECONDS) -> list[Fault]:
    """As `check` does; what does not end is a fault, and the rules after it are not checked."""
    command = [sys.executable, "-P", "-c", CODE, str(PACKAGES), str(folder), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        try:
            output, errors = child.communicate(timeout=WAITING)
        except subprocess.TimeoutExpired:
            child.kill()
            output, errors = child.communicate()
        except BaseException:
            child.kill()
            raise
    lines = [line for line in output.splitlines(keepends=True) if line.endswith(b"\n")]
    faults = [
        Fault(rule.name, Place(file, number), message, rule.remedy, rule.note)
        for rule, line in zip(RULES, lines, strict=False)
        for file, number, message in json.loads(line)
    ]
    if len(lines) < len(RULES):
        faults.append(unfinished(len(lines), seconds, errors.decode(errors="replace").strip()))
    return sorted_faults(faults)


def unfinished(done: int, seconds: int, errors: str) -> Fault:
    """The fault for the rule that was being checked when the process ended."""
    reason = f" ({errors.splitlines()[-1]})" if errors else ""
    message = (
        f"the rule {RULES[done].name} does not end within {seconds} s and {MEMORY >> 30} GiB{reason}: "
        f"it and the {len(RULES) - done - 1} rules after it are not checked"
    )
    return Fault("check.limits", Place("."), message, "simplify or remove the file that this rule reads")


def main() -> None:
    """In the child: for each rule a line with its violations."""
    folder, seconds = Path(sys.argv[2]), int(sys.argv[3])
    with suppress(ImportError):  # not on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    project = Project(folder)
    for rule in RULES:
        faults = [(fault.place.file, fault.place.line, fault.message) for fault in rule.faults(project)]
        print(json.dumps(faults), flush=True)
