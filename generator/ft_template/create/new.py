"""Make a project, or nothing: it is written beside its place, looked at, and moved there in one step."""

import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import hooks
from ..answers import complete as answering
from ..check.check import check
from ..errors import FAILED, INTERRUPTED, NO_ENVIRONMENT, OK, WRONG_ANSWERS, UserError
from ..system import interrupts
from ..template import Template, open_template, stage
from . import run_job as child
from . import target as place
from .events import Listener, tell_failure
from .result import describe_result

STEPS = {
    "template": "Open the template",
    "answers": "Take the answers",
    "render": "Write the files",
    "check": "Check the project",
    "place": "Put it into place",
    "environment": "Make the Python environment",
}
IN_A_DRY_RUN = 4

Faults = Callable[[Mapping[str, object]], Mapping[str, str]]


@dataclass(frozen=True)
class Request:
    """What the user wants."""

    given: Mapping[str, object]
    target: Path | None = None
    """The folder of the project; None: the slug, in `output_dir`."""
    output_dir: Path = Path()
    template: str | None = None
    dry_run: bool = False
    ask: Callable[[Template, Mapping[str, object], Path, Faults], dict[str, object]] | None = None
    """Puts the open questions to people; None: they take their defaults."""


def new(request: Request, listener: Listener) -> int:
    """Make the project, tell what happens, and return the exit code."""
    creation = Creation(request, listener)
    try:
        with interrupts.caught(), interrupts.temporary() as scratch:
            return creation.run(scratch)
    except UserError as error:
        failure = error
    except BrokenPipeError:  # nobody listens any more, which is as good as an interrupt
        return INTERRUPTED
    except OSError as error:
        failure = UserError(f"{error.strerror or error}: {error.filename or 'no file'}", FAILED)
    except (KeyboardInterrupt, EOFError):
        failure = UserError("Interrupted", INTERRUPTED)
    if creation.placed:
        return creation.finish_without_environment(f"{failure}; the project is complete, run its setup_env.py.")
    if failure.code == INTERRUPTED or not str(failure).endswith("."):
        failure = UserError(f"{failure}; nothing was made.", failure.code)
    return tell_failure(listener, failure)


class Creation:
    """One run of the command; it leaves behind what it has placed, and nothing else."""

    def __init__(self, request: Request, listener: Listener) -> None:
        self.request, self.listener = request, listener
        self.placed = False
        self.begun = 0

    def run(self, scratch: Path) -> int:
        """The six steps; `scratch` is a folder for what is needed in between."""
        request, self.scratch = self.request, scratch
        self.begin("template")
        self.template = open_template(request.template, self.fetch)
        self.begin("answers")
        self.answers = self.take_answers()
        self.folder = place.target_of(request.target, request.output_dir, self.answers)
        place.refuse_taken(self.folder)
        beside = scratch if request.dry_run else self.folder.parent
        with place.folders_above(beside), interrupts.temporary(beside, f".{self.folder.name}.") as hidden:
            self.begin("render")
            project = self.render(hidden)
            self.begin("check")
            self.check(project)
            self.result = describe_result(project, self.folder, self.answers, self.environment, request.dry_run)
            if not request.dry_run:
                self.begin("place")
                with interrupts.held():
                    place.move(project, self.folder)
                    self.placed = True
        if request.dry_run:
            self.listener.emit("result", **self.result)
            return OK
        self.begin("environment")
        return self.make_environment()

    def begin(self, step: str) -> None:
        """Tell which step it is."""
        self.begun += 1
        total = IN_A_DRY_RUN if self.request.dry_run else len(STEPS)
        self.listener.emit("step", id=step, title=STEPS[step], index=self.begun, total=total)

    def log(self, level: str) -> Callable[[str], None]:
        """Pass on what a job prints."""
        return lambda line: self.listener.emit("log", level=level, text=line)

    def fetch(self, name: str) -> Path:
        """Bring a template that is not on this machine."""
        folder = self.scratch / "fetched"
        folder.mkdir()
        reply = child.call(self.scratch, self.log("debug"), job="fetch", template=name, folder=str(folder))
        if reason := reply.get("error"):
            sentence = f"The template {name} cannot be fetched ({reason}): check its name, and the network."
            raise UserError(sentence, FAILED)
        return Path(reply["path"])

    def take_answers(self) -> dict[str, object]:
        """All answers, each of them allowed."""
        request, given = self.request, dict(self.request.given)
        if request.target is not None:
            place.refuse_taken(request.target)
            if "project_name" in self.template.questions:
                given.setdefault("project_name", request.target.absolute().name)
        completed = answering.complete(self.template, given)
        if request.ask is None:
            return completed
        where = request.target.parent if request.target else request.output_dir
        return answering.complete(self.template, request.ask(self.template, given, where, self.faults))

    def faults(self, answers: Mapping[str, object]) -> Mapping[str, str]:
        """What is wrong with answers, as one types them: a folder that is taken is said at once, too."""
        found, slug = answering.faults(self.template, answers), answers.get("project_slug")
        if found or self.request.target or not slug or not place.is_taken(self.request.output_dir / str(slug)):
            return found
        return {"project_slug": f"{self.request.output_dir / str(slug)} exists already: choose another name."}

    @property
    def environment(self) -> str | None:
        """What is to be made in the end; None where that is the template's own affair."""
        return str(self.answers["environment"]) if self.template.leaves_environment_to_us else None

    def render(self, hidden: Path) -> Path:
        """The project in a hidden folder, without an environment: one holds its own path, and is made in place."""
        said: list[str] = []
        answers = self.answers | ({"environment": "none"} if self.environment else {})
        reply = child.call(
            self.scratch,
            said.append,
            job="render",
            template=str(stage(self.template, self.scratch)),
            answers=answers,
            folder=str(hidden),
            hooks=not self.template.bundled,  # what ours do is done here: the rules before, the tidying below
        )
        for line in said:
            self.log("debug")(line)
        if reply.get("hook") == "before" and any(said):
            raise UserError(next(filter(None, said)), WRONG_ANSWERS)
        if reason := reply.get("error"):
            name = self.template.name
            sentence = f"The template {name} cannot be rendered ({reason}), so nothing was made: mend the template."
            raise UserError(sentence, FAILED)
        project = Path(reply["path"])
        if self.template.bundled:
            hooks.after().tidy(project)
        for path in project.rglob("*"):  # cookiecutter copies modes, and a template may be installed read-only
            path.chmod(path.stat().st_mode | stat.S_IWUSR)
        return project

    def check(self, project: Path) -> None:
        """Refuse a faulty project of ours, warn of another's, and tell its files."""
        for sentence in project_faults(project):
            if self.template.bundled:
                raise UserError(f"The project would be faulty: {sentence}", FAILED)
            self.listener.emit("warning", code="check", message=sentence)
        for path in sorted(path for path in project.rglob("*") if path.is_file()):
            self.listener.emit("file", path=path.relative_to(project).as_posix(), action="create")

    def make_environment(self) -> int:
        """The environment, where it will stay; whatever goes wrong, the project is kept."""
        if self.environment in (None, "none"):
            trouble = None
        else:
            job = {"project": str(self.folder), "choice": self.environment}
            reply = child.call(self.scratch, self.log("info"), job="environment", **job)
            trouble = reply.get("error") or reply["trouble"]
        if trouble:
            return self.finish_without_environment(trouble)
        self.listener.emit("result", **self.result)
        return OK

    def finish_without_environment(self, trouble: str) -> int:
        """Tell of a project that lacks its environment only: what comes next is to install it."""
        self.listener.emit("warning", code="environment", message=trouble)
        result: dict[str, Any] = describe_result(self.folder, self.folder, self.answers, "empty")
        self.listener.emit("result", **(result | {"interpreter": None}))
        return NO_ENVIRONMENT


def project_faults(project: Path) -> list[str]:
    """What is wrong with a project, each as one sentence; one without .idea is not meant for PyCharm."""
    if not (project / ".idea").is_dir():
        return []
    return [str(fault) for fault in check(project) if not fault.note]
