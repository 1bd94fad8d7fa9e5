"""`ft-template check --run`: start every run configuration as PyCharm does, in a copy of the project."""

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
from .plan import Phase, Plan, plan, terminal_plan
from .process import Process

Key = tuple[str, str]


@dataclass(frozen=True)
class StartResult:
    """The result of one start."""

    name: str
    place: Place
    description: str
    """What was run, and how it was shortened."""
    seconds: float
    error: str = ""
    output: str = ""
    """The last lines of the output of a failed start."""


def start_all(root: Path, python: Path, seconds: float, on_result: Callable[[StartResult], None]) -> list[StartResult]:
    """Start each run configuration as PyCharm does, then each program as a terminal does."""
    with scratch_copy(Project(root)) as copy:
        starter = Starter(Project(copy), python, seconds, on_result)
        for configuration in in_order(starter.project, python):
            starter.start(configuration)
        starter.start_in_terminal()
    return list(starter.results.values())


@contextmanager
def scratch_copy(project: Project) -> Iterator[Path]:
    """A temporary copy without .venv, git history and outputs, so that the user's files are not changed."""

    def ignored(folder: str, names: list[str]) -> set[str]:
        never = NEVER_CONTENT - {".idea"}
        paths = {name: Path(folder, name) for name in names if name not in never}
        return set(names) - {name for name, path in paths.items() if can_be_copied(path) and not project.excludes(path)}

    with tempfile.TemporaryDirectory(prefix="ft-template-", ignore_cleanup_errors=True) as folder:
        yield Path(shutil.copytree(project.root, Path(folder, project.root.name), ignore=ignored, symlinks=True))


def can_be_copied(path: Path) -> bool:
    """Whether it is a file, folder or link, and no pipe, socket or device."""
    return path.is_symlink() or path.is_file() or path.is_dir()


def in_order(project: Project, python: Path) -> list[Configuration]:
    """Trainings before what uses their model; a compound before its members, which start with it."""
    configurations = [*project.python_configurations, *project.test_configurations]
    phases = {(one.type, one.name): plan(project, one, python).phase for one in configurations}
    for compound in project.compounds:
        starts = [phases[key] for key, _ in compound.members if key in phases]
        phases[compound.type, compound.name] = min(starts, default=Phase.SETUP)
    order = sorted(phases, key=lambda key: (phases[key], key[0] != COMPOUND))
    return [project.by_key[key] for key in order]


class Starter:
    """Starts configurations, each once, after their prerequisites."""

    def __init__(
        self, project: Project, python: Path, seconds: float, on_result: Callable[[StartResult], None]
    ) -> None:
        self.project, self.python, self.seconds, self.on_result = project, python, seconds, on_result
        self.results: dict[Key, StartResult] = {}

    def start(self, configuration: Configuration) -> None:
        key = (configuration.type, configuration.name)
        if key in self.results:
            return
        prerequisites = self._known(configuration.prerequisites)
        for prerequisite in prerequisites:
            self.start(self.project.by_key[prerequisite])
        failed = [key[1] for key in prerequisites if self.results[key].error]
        if failed:
            error = f"'{failed[0]}' has to succeed first"
            self._add(key, StartResult(configuration.name, configuration.place, "not started", 0, error))
        elif configuration.type == COMPOUND:
            self._start_compound(key, configuration)
        else:
            self._add(key, self._run(configuration))

    def _start_compound(self, key: Key, compound: Configuration) -> None:
        """Start all members at once, as PyCharm does."""
        started = time.monotonic()
        keys = self._known(compound.members)
        members = [self.project.by_key[key] for key in keys if key not in self.results]
        with ThreadPoolExecutor(max(1, len(members))) as pool:
            for member, result in zip(members, pool.map(self._run, members), strict=True):
                self._add((member.type, member.name), result)
        failed = [key[1] for key in keys if self.results[key].error]
        error = f"'{failed[0]}' failed" if failed else ""
        seconds = time.monotonic() - started
        self._add(key, StartResult(compound.name, compound.place, "its members at once", seconds, error))

    def _known(self, links: list[tuple[Key, Place]]) -> list[Key]:
        """What is started of the configurations that another one names: those of plugins are not."""
        return [key for key, _ in links if self.project.by_key[key].is_known]

    def _run(self, configuration: Configuration) -> StartResult:
        chosen = plan(self.project, configuration, self.python)
        return run_plan(configuration.name, configuration.place, chosen, self.seconds)

    def start_in_terminal(self) -> None:
        """Start each program without PyCharm's roots, to find imports that work in PyCharm only."""
        seen = set()
        for configuration in [*self.project.python_configurations, *self.project.test_configurations]:
            chosen = terminal_plan(self.project, configuration, self.python)
            failed = self.results[configuration.type, configuration.name].error
            if chosen.command.arguments not in seen and not failed:
                seen.add(chosen.command.arguments)
                program = configuration.option("SCRIPT_NAME").rpartition("/")[2] or "pytest"
                result = run_plan(f"{program}, in a terminal", configuration.place, chosen, self.seconds)
                self._add(("terminal", program), result)

    def _add(self, key: Key, result: StartResult) -> None:
        self.results[key] = result
        self.on_result(result)


def run_plan(name: str, place: Place, chosen: Plan, seconds: float) -> StartResult:
    """Run one plan until it ends, answers or exceeds its time."""
    started = time.monotonic()
    try:
        with Process(chosen.command) as process:
            error = error_of(process, chosen, seconds)
            output = process.tail if error else ""
    except OSError as reason:
        error, output = f"it does not start ({reason})", ""
    return StartResult(name, place, chosen.description, time.monotonic() - started, error, output)


def error_of(process: Process, chosen: Plan, seconds: float) -> str:
    """Wait for the process; the error message, empty if it behaves as planned."""
    if chosen.is_server:
        if process.wait_for_answer(seconds):
            return ""
        if process.code is None:
            return f"it does not answer on this machine within {seconds:.0f} s"
        return f"it exits with code {process.code} before it answers on this machine"
    code = process.wait(seconds)
    if code is None:
        return f"it still runs after {seconds:.0f} s"
    if chosen.refusal and code == 2:
        return "" if chosen.refusal.search(process.output) else "it refuses for another reason than is expected"
    return "" if code == 0 else f"it exits with code {code}"
