"""`ft-template check --run`: starts every configuration of a project as PyCharm would, in a copy of it."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..fault import Place
from ..project.configuration import COMPOUND, Configuration
from ..project.project import NEVER_CONTENT, Project
from .plan import REFUSAL, Plan, plan, terminal_plan
from .process import Process

Key = tuple[str, str]


@dataclass(frozen=True)
class Start:
    """What became of one start."""

    name: str
    place: Place
    said: str
    seconds: float
    fault: str = ""
    tail: str = ""
    """The last lines of its output, where it failed."""


def start_all(root: Path, python: Path, seconds: float, told: Callable[[Start], None]) -> list[Start]:
    """Start everything once as PyCharm does, and each program once more as a terminal does; `told` hears of each."""
    with scratch_copy(Project(root)) as copy:
        starts = Starts(Project(copy), python, seconds, told)
        for found in in_turn(starts.project, python):
            starts.start(found)
        starts.as_terminal()
    return list(starts.done.values())


@contextmanager
def scratch_copy(project: Project) -> Iterator[Path]:
    """A copy without environment, history and outputs, so that nothing of the user's is touched."""

    def left_out(folder: str, names: list[str]) -> set[str]:
        never = NEVER_CONTENT - {".idea"}
        return {name for name in names if name in never or project.excludes(Path(folder, name))}

    with tempfile.TemporaryDirectory(prefix="ft-template-", ignore_cleanup_errors=True) as folder:
        yield Path(shutil.copytree(project.root, Path(folder, project.root.name), ignore=left_out, symlinks=True))


def in_turn(project: Project, python: Path) -> list[Configuration]:
    """Trainings before what uses their model; a compound before its members, which start with it."""
    found = [*project.python_configurations, *project.test_configurations]
    turns = {(one.type, one.name): plan(project, one, python).turn for one in found}
    for compound in project.compounds:
        turns[compound.type, compound.name] = min(turns[key] for key, _ in compound.members)
    order = sorted(turns, key=lambda key: (turns[key], key[0] != COMPOUND))
    return [project.by_key[key] for key in order]


class Starts:
    """Starts configurations, each once, and what has to run before it first."""

    def __init__(self, project: Project, python: Path, seconds: float, told: Callable[[Start], None]) -> None:
        self.project, self.python, self.seconds, self.told = project, python, seconds, told
        self.done: dict[Key, Start] = {}

    def start(self, found: Configuration) -> None:
        key = (found.type, found.name)
        if key in self.done:
            return
        for prerequisite, _ in found.prerequisites:
            self.start(self.project.by_key[prerequisite])
        failed = [name for kind, name in dict(found.prerequisites) if self.done[kind, name].fault]
        if failed:
            self._tell(key, Start(found.name, found.place, "not started", 0, f"'{failed[0]}' has to succeed first"))
        elif found.type == COMPOUND:
            self._start_together(key, found)
        else:
            self._tell(key, self._try(found))

    def _start_together(self, key: Key, compound: Configuration) -> None:
        """All members at once, as PyCharm does."""
        started = time.monotonic()
        members = [self.project.by_key[member] for member, _ in compound.members if member not in self.done]
        with ThreadPoolExecutor(max(1, len(members))) as pool:
            for member, result in zip(members, pool.map(self._try, members), strict=True):
                self._tell((member.type, member.name), result)
        failed = [name for (kind, name), _ in compound.members if self.done[kind, name].fault]
        fault = f"'{failed[0]}' failed" if failed else ""
        said = "its members at once"
        self._tell(key, Start(compound.name, compound.place, said, time.monotonic() - started, fault))

    def _try(self, found: Configuration) -> Start:
        return attempt(found.name, found.place, plan(self.project, found, self.python), self.seconds)

    def as_terminal(self) -> None:
        """Each program that PyCharm could start, without its roots; an import that only PyCharm finds shows here."""
        seen = set()
        for found in [*self.project.python_configurations, *self.project.test_configurations]:
            once_more = terminal_plan(self.project, found, self.python)
            if once_more.command.arguments not in seen and not self.done[found.type, found.name].fault:
                seen.add(once_more.command.arguments)
                program = found.option("SCRIPT_NAME").rpartition("/")[2] or "pytest"
                result = attempt(f"{program}, in a terminal", found.place, once_more, self.seconds)
                self._tell(("terminal", program), result)

    def _tell(self, key: Key, result: Start) -> None:
        self.done[key] = result
        self.told(result)


def attempt(name: str, place: Place, given: Plan, seconds: float) -> Start:
    """Run one plan to its end, and say what went wrong if anything did."""
    started = time.monotonic()
    try:
        with Process(given.command) as process:
            fault = fault_of(process, given, seconds)
            tail = process.tail if fault else ""
    except OSError as error:
        fault, tail = f"it does not start ({error})", ""
    return Start(name, place, given.said, time.monotonic() - started, fault, tail)


def fault_of(process: Process, given: Plan, seconds: float) -> str:
    """What went wrong; an empty text where all is as planned."""
    if given.serves:
        if process.wait_for_answer(seconds):
            return ""
        if process.code is None:
            return f"it does not answer on this machine within {seconds:.0f} s"
        return f"it ends with {process.code} before it answers on this machine"
    code = process.wait(seconds)
    if code is None:
        return f"it still runs after {seconds:.0f} s"
    if given.refuses and code == 2:
        return "" if REFUSAL.search(process.output) else "it does not say that it needs the network"
    return "" if code == 0 else f"it ends with {code}"
