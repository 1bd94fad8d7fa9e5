"""`ft-template new`: render into a hidden folder beside or inside the target, check, and move to the target.

Never leaves a half-written project.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..answers.ask import ask
from ..answers.complete import answer_errors, complete
from ..check.check import check
from ..check.fault import Fault
from ..check.limited import check_limited
from ..errors import FAILED, INTERRUPTED, NO_ENVIRONMENT, OK, UserError
from ..hooks import without_secrets
from ..system import interrupts
from ..template import open_template
from . import run_job, target
from .events import Listener, emit_error
from .render import render
from .result import describe_result

STEPS = {
    "template": "Open the template",
    "answers": "Validate the answers",
    "render": "Write the files",
    "check": "Check the project",
    "place": "Move the project to its folder",
    "environment": "Create the Python environment",
}
DRY_RUN_STEPS = 4


@dataclass(frozen=True)
class Request:
    """The arguments of the command."""

    given: Mapping[str, object]
    """Answers from --answers and --set."""
    target: Path | None = None
    """The folder of the project; None: `output_dir`/slug."""
    output_dir: Path = Path()
    template: str | None = None
    dry_run: bool = False
    interactive: bool = False
    """Whether the user is asked the open questions; otherwise they take their defaults."""


def new(request: Request, listener: Listener) -> int:
    """Create the project, emit events, and return the exit code."""
    creation = Creation(request, listener)
    try:
        with interrupts.signals_as_exceptions(), interrupts.temporary_folder() as scratch:
            return creation.run(scratch)
    except UserError as error:
        failure = error
    except BrokenPipeError:  # the reader of the events is gone: as an interrupt
        return INTERRUPTED
    except OSError as error:
        failure = UserError(f"{error.strerror or error}: {error.filename or 'no file'}", FAILED)
    except (KeyboardInterrupt, EOFError):
        failure = UserError("Interrupted", INTERRUPTED)
    if creation.placed:
        return creation.finish_without_environment(f"{failure}; the project is complete, run its setup_env.py.")
    if failure.code == INTERRUPTED or not str(failure).endswith("."):
        failure = UserError(f"{failure}; nothing was created.", failure.code)
    return emit_error(listener, failure)


class Creation:
    """One run of the command."""

    def __init__(self, request: Request, listener: Listener) -> None:
        self.request, self.listener = request, listener
        self.placed = False
        self.steps_started = 0

    def run(self, scratch: Path) -> int:
        """Run all steps; `scratch` holds temporary files."""
        self.scratch = scratch
        self.start_step("template")
        self.template = open_template(self.request.template, self.fetch)
        self.brought = target.hidden_entries(self.template)
        self.start_step("answers")
        self.answers = self.collect_answers()
        self.folder = self.place(self.answers)
        target.require_free(self.folder, self.brought)
        self.create_project()
        if self.request.dry_run:
            self.listener.emit("result", **self.result)
            return OK
        self.start_step("environment")
        return self.create_environment()

    def create_project(self) -> None:
        """Render, check and move the project; a dry run renders into `scratch` and does not move it."""
        dry_run = self.request.dry_run
        parent = self.scratch if dry_run else self.folder if target.is_kept(self.folder) else self.folder.parent
        with target.created_folder(parent), interrupts.temporary_folder(parent, f".{self.folder.name}.") as hidden:
            self.start_step("render")
            project = self.render(hidden)
            self.start_step("check")
            self.check(project)
            self.result = describe_result(project, self.folder, self.answers, self.environment, dry_run)
            if not dry_run:
                self.start_step("place")
                with interrupts.deferred_signals():
                    target.move(project, self.folder)
                    self.placed = True

    def start_step(self, step: str) -> None:
        self.steps_started += 1
        total = DRY_RUN_STEPS if self.request.dry_run else len(STEPS)
        self.listener.emit("step", id=step, title=STEPS[step], index=self.steps_started, total=total)

    def log(self, level: str) -> Callable[[str], None]:
        """A function that emits a line of a job's output as an event."""
        return lambda line: self.listener.emit("log", level=level, text=without_secrets(line))

    def fetch(self, name: str) -> Path:
        """Download a template that is not on this machine."""
        folder = self.scratch / "fetched"
        folder.mkdir()
        reply = run_job.run_job(self.scratch, self.log("debug"), job="fetch", template=name, folder=str(folder))
        if reason := reply.get("error"):
            message = f"The template {name} cannot be downloaded ({reason}): check its name and the network."
            raise UserError(message, FAILED)
        return Path(reply["path"])

    def collect_answers(self) -> dict[str, object]:
        """All answers, valid; given ones, and the folder if it is known, are checked before the first question."""
        request, given, proposed = self.request, self.request.given, dict[str, object]()
        if request.target is not None and "project_name" in self.template.questions:
            proposed["project_name"] = self.place(given).name
        completed = complete(self.template, {**proposed, **given})
        if request.target is not None or "project_slug" in given:
            target.require_free(self.place(completed), self.brought)
        if not request.interactive:
            return completed
        return complete(self.template, ask(self.template, given, proposed, self.place, self.find_errors))

    def place(self, answers: Mapping[str, object]) -> Path:
        """The folder of a project with these answers."""
        return target.target_folder(self.request.target, self.request.output_dir, answers)

    def find_errors(self, answers: Mapping[str, object]) -> Mapping[str, str]:
        """Errors of the answers while the user types, an existing target folder included."""
        errors = answer_errors(self.template, answers)
        if errors or self.request.target or "project_slug" not in answers:
            return errors
        message = target.obstacle(self.place(answers), self.brought)
        return {"project_slug": message} if message else {}

    @property
    def environment(self) -> str | None:
        """The answer `environment`; None if the template does not support it."""
        return str(self.answers["environment"]) if self.template.supports_environment else None

    def render(self, hidden: Path) -> Path:
        """Render without an environment: a venv holds its own path, so it is created after the move."""
        answers = self.answers | ({"environment": "none"} if self.environment else {})
        return render(self.template, answers, hidden, self.scratch, self.log("debug"))

    def check(self, project: Path) -> None:
        """Reject a faulty project of the bundled template, warn about another template's, and emit its files."""
        bundled = self.template.bundled
        for fault in project_faults(project, check if bundled else check_limited):
            if bundled:
                raise UserError(f"The generated project has a fault: {fault}", FAILED)
            self.listener.emit("warning", code="check", message=fault)
        for path in sorted(path for path in project.rglob("*") if path.is_file()):
            self.listener.emit("file", path=path.relative_to(project).as_posix(), action="create")

    def create_environment(self) -> int:
        """Create the environment in the target folder; on an error the project is kept."""
        if self.environment not in (None, "none"):
            job = {"project": str(self.folder), "choice": self.environment}
            reply = run_job.run_job(self.scratch, self.log("info"), job="environment", **job)
            if error := reply["error"]:
                return self.finish_without_environment(error)
        self.listener.emit("result", **self.result)
        return OK

    def finish_without_environment(self, error: str) -> int:
        """Emit the result of a project without its environment: the next step is to install it."""
        self.listener.emit("warning", code="environment", message=error)
        result: dict[str, Any] = describe_result(self.folder, self.folder, self.answers, "empty")
        self.listener.emit("result", **(result | {"interpreter": None}))
        return NO_ENVIRONMENT


def project_faults(project: Path, check_project: Callable[[Path], list[Fault]]) -> list[str]:
    """The faults that a check finds, notes left out; none for a project without .idea, which is not for PyCharm."""
    if not (project / ".idea").is_dir():
        return []
    return [str(fault) for fault in check_project(project) if not fault.note]
