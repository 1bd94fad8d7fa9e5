"""`ft-template new` never leaves a half-written project: in-process, with failures and signals at every stage."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import Bake, files, write_files
from front_end import COMMAND, ENVIRONMENT, STEPS, Recorder, ft_template, names, small_template
from ft_template import template
from ft_template.create import run_job, target
from ft_template.create.new import Request, new
from ft_template.errors import UserError
from ft_template.system import interrupts
from ft_template.system.interrupts import Interrupted

SLUG = "{{cookiecutter.project_slug}}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to work in, with a neighbour that nobody may touch; temporary files must be gone in the end."""
    scratch, folder = tmp_path / "temporary", tmp_path / "here"
    for path in (scratch, folder):
        path.mkdir()
    (folder / "neighbour.txt").write_text("mine")
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setitem(ENVIRONMENT, "TMPDIR", str(scratch))
    monkeypatch.chdir(folder)
    yield folder
    assert names(scratch) == set()
    assert (folder / "neighbour.txt").read_text() == "mine"


def make(
    here: Path, recorder: Recorder | None = None, template: Path | None = None, **given: Any
) -> tuple[int, Recorder]:
    recorder = recorder or Recorder()
    answers = {} if template else {"environment": "none", **given}
    return new(Request(answers, template=str(template) if template else None), recorder), recorder


# --- a project --------------------------------------------------------------------------------------------------------


def test_the_project_is_that_of_cookiecutter_and_the_events_tell_of_it(
    here: Path, bake_project: Bake, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, told = make(here, project_name="One & the same")
    project = here / "one-the-same"
    result = told.one("result")

    assert code == 0
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(here.parent))  # cookiecutter leaves the hooks there that it has rendered
        expected = bake_project(project_name="One & the same")
    assert files(project) == files(expected)
    assert names(project) == names(expected), "empty folders too"
    assert [step["id"] for step in told.all("step")] == STEPS
    assert [step["index"] for step in told.all("step")] == [1, 2, 3, 4, 5, 6]
    assert [file["path"] for file in told.all("file")] == sorted(files(project))
    assert told.events[-1] == result
    assert result["project_dir"] == str(project)
    assert result["answers"]["author"] == "The One & the same authors"
    assert all((project / name).is_file() for name in result["open_files"])
    assert result["select_run_configuration"] == "Train (demo)"
    assert result["interpreter"] is None
    assert len(result["next_steps"]) == len(result["commands"]) == 3
    assert names(here) == {"neighbour.txt", "one-the-same"} | {f"one-the-same/{name}" for name in names(project)}


def test_the_environment_is_made_in_place(here: Path) -> None:
    """An environment holds its own path: one that was made in the hidden folder would not work in the other."""
    code, told = make(here, environment="empty")
    interpreter = told.one("result")["interpreter"]
    prefix = subprocess.check_output([interpreter, "-c", "import sys; print(sys.prefix)"], text=True).strip()

    assert code == 0
    assert Path(prefix) == here / "my-project/.venv"
    assert "here/my-project/.venv" in (here / "my-project/.venv/bin/activate").read_text()
    assert told.one("result")["select_run_configuration"] == "Install dependencies"


def test_another_template_leaves_the_environment_to_us(here: Path, tmp_path: Path) -> None:
    """Its hook would make it in the hidden folder: it is told that none is wanted."""
    questions = '{"project_slug": "small", "environment": ["empty", "install", "none"]}'
    hook = "open('told.txt', 'w').write('{{ cookiecutter.environment }}')"
    parts = {"cookiecutter.json": questions, "hooks/post_gen_project.py": hook}
    code, told = make(here, template=small_template(tmp_path / "small", **parts))

    assert code == 0
    assert (here / "small/told.txt").read_text() == "none"
    assert (here / "small/.venv").is_dir()
    assert told.one("result")["answers"]["environment"] == "empty"


def test_a_dry_run_tells_the_same_and_writes_nothing(here: Path) -> None:
    before = names(here)
    dry, real = Recorder(), Recorder()

    assert new(Request({}, dry_run=True), dry) == 0
    assert names(here) == before
    assert new(Request({}), real) == 0
    assert dry.all("file") == real.all("file")
    assert dry.one("result") == {**real.one("result"), "dry_run": True}


def test_a_folder_gives_its_name_to_the_project(here: Path) -> None:
    told = Recorder()
    (here / "Mood of Mails").mkdir()

    assert new(Request({"environment": "none"}, target=Path("Mood of Mails")), told) == 0
    assert told.one("result")["project_dir"] == str(here / "Mood of Mails")
    assert told.one("result")["answers"]["project_slug"] == "mood-of-mails"
    assert told.one("result")["commands"][0] == "cd 'Mood of Mails'"
    assert (here / "Mood of Mails/.idea/mood-of-mails.iml").is_file()


def test_missing_folders_are_made(here: Path) -> None:
    assert new(Request({"environment": "none"}, output_dir=Path("on/the/way")), Recorder()) == 0
    assert (here / "on/the/way/my-project/pyproject.toml").is_file()


# --- what is there already --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["folder", "file", "link to a folder", "dangling link"])
def test_what_exists_is_left_alone(here: Path, what: str) -> None:
    target = here / "my-project"
    if what == "folder":
        target.mkdir()
        (target / "thesis.txt").touch()
    elif what == "file":
        target.touch()
    else:
        (here / "elsewhere").mkdir()
        target.symlink_to("elsewhere" if what == "link to a folder" else "nowhere")
    before = names(here)
    code, told = make(here)

    assert code == 4
    assert told.one("error")["code"] == "target-exists"
    assert "my-project exists already: choose another" in told.message
    assert names(here) == before
    assert [step["id"] for step in told.all("step")] == ["template", "answers"]


@pytest.mark.parametrize("hidden", [[], [".git/HEAD", ".DS_Store"]])
@pytest.mark.parametrize("is_current", [True, False])
def test_a_project_moves_into_a_folder_without_visible_files(
    here: Path, monkeypatch: pytest.MonkeyPatch, hidden: list[str], is_current: bool
) -> None:
    folder = here / "Mood"
    folder.mkdir()
    write_files(folder, dict.fromkeys(hidden, "kept"))
    if is_current:
        monkeypatch.chdir(folder)
    told, elsewhere = Recorder(), Recorder()

    assert new(Request({"environment": "none"}, target=Path() if is_current else folder), told) == 0
    assert new(Request({"environment": "none", "project_name": "Mood"}, output_dir=here / "other"), elsewhere) == 0
    assert files(folder) == files(here / "other/mood") | dict.fromkeys(hidden, b"kept")
    assert told.one("result")["project_dir"] == str(folder)
    assert told.one("result")["commands"][0].startswith("cd ") is not is_current


@pytest.mark.parametrize("name", [".idea/workspace.xml", ".gitignore"])
def test_a_hidden_file_that_the_project_brings_too_is_an_obstacle(here: Path, name: str) -> None:
    write_files(here / "my-project", {name: "theirs"})
    before = files(here)
    code, told = make(here)

    assert code == 4
    assert f"{here / 'my-project'} has {name.partition('/')[0]}, which the project brings, too" in told.message
    assert files(here) == before
    assert [step["id"] for step in told.all("step")] == ["template", "answers"]


def test_a_move_that_fails_halfway_is_taken_back(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(here / "my-project", {".git/HEAD": "theirs"})
    before, rename = files(here), Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name == "pyproject.toml":
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    code, told = make(here)

    assert code == 5
    assert "nothing was created" in told.message
    assert files(here) == before


def test_what_comes_into_being_meanwhile_is_kept(here: Path) -> None:
    def race(step: str) -> None:
        if step == "place":
            (here / "my-project").mkdir()
            (here / "my-project/other.txt").write_text("theirs")

    code, told = make(here, Recorder(race))

    assert code == 4
    assert "in the meantime" in told.message
    assert files(here / "my-project") == {"other.txt": b"theirs"}
    assert names(here) == {"neighbour.txt", "my-project", "my-project/other.txt"}


def test_a_folder_that_looks_like_an_expression_is_refused(here: Path) -> None:
    told = Recorder()

    assert new(Request({}, output_dir=Path("{{ 7 * 7 }}")), told) == 2
    assert "template expression" in told.message
    assert names(here) == {"neighbour.txt"}


# --- failures ---------------------------------------------------------------------------------------------------------

BROKEN = {
    "an undefined variable": ({f"{SLUG}/a.txt": "{{ cookiecutter.nothing }}"}, "'a.txt'", 5),
    "an undefined name of a file": ({f"{SLUG}/{{{{ cookiecutter.nothing }}}}.txt": ""}, "nothing", 5),
    "a syntax error": ({f"{SLUG}/a.txt": "first\n{% if %}"}, "a.txt:2", 5),
    "a missing include": ({f"{SLUG}/a.txt": "{% include 'b.txt' %}"}, "b.txt", 5),
    "an error in an expression": ({f"{SLUG}/a.txt": "{{ 1 // 0 }}"}, "zero", 5),
    "a refusing hook": (
        {"hooks/pre_gen_project.py": "raise SystemExit('project_slug is dull: choose another.')"},
        "",
        3,
    ),
    "a failing hook": ({"hooks/post_gen_project.py": "open('x', 'w'); raise SystemExit('no')"}, "hook", 5),
    "a hook with an error in its Jinja": ({"hooks/post_gen_project.py": "{% if %}"}, "Expected an expression", 5),
    "no JSON": ({"cookiecutter.json": "{"}, "cookiecutter.json cannot be read", 5),
    "several templates": ({"cookiecutter.json": '{"templates": {}}'}, "does not describe one template", 5),
    "an error in a default": ({"cookiecutter.json": '{"project_slug": "{{ 1 // 0 }}"}'}, "zero", 5),
    "no folder to render": ({"cookiecutter.json": '{"slug": "a"}'}, "cookiecutter.project_slug", 5),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_template_leaves_nothing(here: Path, tmp_path: Path, what: str) -> None:
    parts, words, expected = BROKEN[what]
    code, told = make(here, template=small_template(tmp_path / "broken", **parts))

    assert code == expected
    assert words in told.message
    assert told.message.endswith(".")
    assert "Traceback" not in told.message
    assert "\n" not in told.message
    assert names(here) == {"neighbour.txt"}
    if expected == 3:
        assert told.message == "project_slug is dull: choose another."


@pytest.mark.parametrize("name", ["nowhere", "gh:", "file:///nowhere/at/all.git", "nowhere.zip"])
def test_a_template_that_is_not_there(here: Path, name: str) -> None:
    told = Recorder()

    assert new(Request({}, template=name), told) == 5
    assert told.message.startswith(f"The template {name} cannot be downloaded")
    assert names(here) == {"neighbour.txt"}


@pytest.fixture
def faulty(repository: Path, tmp_path: Path) -> Path:
    """A copy of the template in which somebody has made a mistake in .idea."""
    copy = tmp_path / "faulty"
    shutil.copytree(repository, copy, symlinks=True)
    configuration = copy / "template/.idea/runConfigurations/Doctor.xml"
    configuration.write_text(configuration.read_text().replace("IS_MODULE_SDK", "IS_MODULE_SKD"))
    return copy


def test_a_faulty_project_of_ours_is_not_placed(here: Path, faulty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "BUNDLE", faulty)
    code, told = make(here)

    assert code == 5
    assert told.message.startswith("The generated project has a fault: .idea/runConfigurations/Doctor.xml")
    assert told.message.endswith("; nothing was created.")
    assert names(here) == {"neighbour.txt"}


def test_a_faulty_project_of_another_template_is_warned_of(
    here: Path, faulty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is checked in a process with limits of time and memory."""
    monkeypatch.setattr("ft_template.create.new.check", None)
    told = Recorder()
    code = new(Request({"environment": "none"}, template=str(faulty)), told)

    assert code == 0
    assert {warning["code"] for warning in told.all("warning")} == {"check"}
    assert "IS_MODULE_SKD" in "".join(warning["message"] for warning in told.all("warning"))
    assert (here / "my-project/pyproject.toml").is_file()


def test_a_project_that_is_not_meant_for_pycharm_is_not_checked(here: Path, tmp_path: Path) -> None:
    code, told = make(here, template=small_template(tmp_path / "small"))

    assert code == 0
    assert told.all("warning") == []
    assert files(here / "small") == {"README.md": b"# small\n"}


def test_the_disk_is_full(here: Path) -> None:
    """No file above 20 kB can be written, as on a disk without room: an error of the system, in the midst of it."""
    command = [*COMMAND, "new", "--json", "--set", "environment=none"]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    run = subprocess.run(
        command, cwd=here, env=ENVIRONMENT, preexec_fn=limit, capture_output=True, text=True, check=False
    )
    last = json.loads(run.stdout.splitlines()[-1])

    assert run.returncode == 5
    assert "File too large" in last["message"]
    assert names(here) == {"neighbour.txt"}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(18, "Invalid cross-device link")])
def test_the_move_fails(here: Path, monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def fail(self: Path, target: Path) -> None:
        raise error

    monkeypatch.setattr(Path, "rename", fail)
    told = Recorder()

    assert new(Request({"environment": "none"}, output_dir=Path("on/the/way")), told) == 5
    assert told.message.startswith(str(error.strerror))
    assert told.message.endswith("nothing was created.")
    assert names(here) == {"neighbour.txt"}


def test_a_folder_that_cannot_be_written(here: Path) -> None:
    told = Recorder()

    assert new(Request({}, output_dir=Path("neighbour.txt/below")), told) == 5
    assert "neighbour.txt" in told.message
    assert names(here) == {"neighbour.txt"}


def test_a_failed_environment_keeps_the_project(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = run_job.run_job

    def fail(scratch: Path, on_output: Any, **job: Any) -> dict[str, Any]:
        if job["job"] == "environment":
            return {"error": "No .venv was created."}
        return original(scratch, on_output, **job)

    monkeypatch.setattr(run_job, "run_job", fail)
    code, told = make(here, environment="install")

    assert code == 6
    assert told.one("warning") == {"event": "warning", "code": "environment", "message": "No .venv was created."}
    assert told.one("result")["interpreter"] is None
    assert told.one("result")["select_run_configuration"] == "Install dependencies"
    assert 'Run "Install dependencies"' in told.one("result")["next_steps"][1]
    assert (here / "my-project/pyproject.toml").is_file()


# --- interrupts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", STEPS)
def test_a_signal_at_any_step_leaves_nothing_or_a_whole_project(here: Path, step: str, number: signal.Signals) -> None:
    def interrupt(begun: str) -> None:
        if begun == step:
            os.kill(os.getpid(), number)

    code, told = make(here, Recorder(interrupt))
    if step == "environment":
        assert code == 6
        assert "Interrupted; the project is complete" in told.one("warning")["message"]
        assert told.one("result")["project_dir"] == str(here / "my-project")
        assert len(told.all("file")) == len(files(here / "my-project"))
    else:
        assert code == 130
        assert told.events[-1]["code"] == "interrupted"
        assert told.message == "Interrupted; nothing was created."
        assert names(here) == {"neighbour.txt"}
    assert signal.getsignal(number) is not interrupts._handle


def test_a_signal_during_the_move_waits_for_its_end(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    move = target.move

    def interrupted_move(project: Path, folder: Path) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        move(project, folder)

    monkeypatch.setattr(target, "move", interrupted_move)
    code, _ = make(here)

    assert code == 6
    assert (here / "my-project/pyproject.toml").is_file()
    assert {path.name for path in here.iterdir()} == {"neighbour.txt", "my-project"}


def test_a_second_signal_does_not_disturb_the_taking_back(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cleanup = tempfile.TemporaryDirectory.cleanup

    def interrupted_cleanup(self: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        cleanup(self)

    def interrupt(step: str) -> None:
        if step == "check":
            monkeypatch.setattr(tempfile.TemporaryDirectory, "cleanup", interrupted_cleanup)
            raise Interrupted

    code, _ = make(here, Recorder(interrupt))

    assert code == 130
    assert names(here) == {"neighbour.txt"}


def test_a_hook_is_ended_with_the_command(here: Path, tmp_path: Path) -> None:
    """A hook that goes on would write into a folder that is being removed."""
    hook = "import os, pathlib, time\npathlib.Path(r'{}').write_text(str(os.getpid()))\ntime.sleep(60)\n"
    mark = tmp_path / "pid"
    template = small_template(tmp_path / "slow", **{"hooks/post_gen_project.py": hook.format(mark)})
    run = subprocess.Popen([*COMMAND, "new", "--json", "--template", str(template)], cwd=here, env=ENVIRONMENT)
    wait_for(mark)
    run.send_signal(signal.SIGTERM)

    assert run.wait(30) == 130
    assert names(here) == {"neighbour.txt"}
    assert not is_running(int(mark.read_text()))


def is_running(number: int) -> bool:
    """A process that has ended but was not asked about by its parent still has its number."""
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(file: Path) -> None:
    for _ in range(300):
        if file.is_file() and file.read_text():
            return
        time.sleep(0.1)
    raise AssertionError(f"{file} was not written")


def test_nobody_listens_any_more(here: Path) -> None:
    class Deaf(Recorder):
        def emit(self, event: str, /, **fields: Any) -> None:
            if event == "file":
                raise BrokenPipeError
            super().emit(event, **fields)

    assert make(here, Deaf())[0] == 130
    assert names(here) == {"neighbour.txt"}


# --- the command line -------------------------------------------------------------------------------------------------


def test_without_a_terminal_nothing_is_asked(here: Path) -> None:
    run = ft_template("new", "--set", "environment=none", "--set", "project_name=Quiet", cwd=here)

    assert run.returncode == 0, run.stderr
    assert (here / "quiet/pyproject.toml").is_file()
    assert "quiet" in run.stdout
    assert "configs/  3 files" in run.stdout
    assert run.stdout.count("\n     ") == 6, "three steps in PyCharm, three in a terminal"


@pytest.mark.parametrize(
    "arguments", [["--jso"], ["a", "--output-dir", "b"], ["--set", "author"], ["--answers", "no.json"]]
)
def test_a_wrong_command_line(here: Path, arguments: list[str]) -> None:
    run = ft_template("new", *arguments, cwd=here)

    assert run.returncode == 2
    assert "Traceback" not in run.stderr
    assert run.stdout == ""
    assert names(here) == {"neighbour.txt"}


@pytest.mark.parametrize("encoding", ["cp1252", "gbk", "ascii"])
def test_nothing_fails_for_the_encoding_of_the_console(here: Path, encoding: str) -> None:
    """A character that the console lacks is replaced; the files are the same."""
    name = "微调 → é 🚀"
    make = ["new", "微调", "--set", f"project_name={name}", "--set", "environment=none"]
    for arguments in (make, ["check", "微调"], ["validate", "--set", f"author={name}"], ["new", "微调"], ["doctor"]):
        run = subprocess.run(
            [*COMMAND, *arguments],
            cwd=here,
            env=ENVIRONMENT | {"PYTHONIOENCODING": encoding},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        assert run.returncode == (4 if arguments == ["new", "微调"] else 0)
        assert b"Traceback" not in run.stderr
        (run.stdout + run.stderr).decode(encoding)
    assert name in (here / "微调/README.md").read_text(encoding="utf-8")


def test_heavy_modules_wait_until_they_are_needed(here: Path) -> None:
    code = """
import sys
from ft_template.cli import main
assert main(["--help"]) == 0
heavy = {"cookiecutter", "rich", "jinja2", "requests", "prompt_toolkit", "yaml", "psutil", "jsonschema", "torch"}
print(sorted(heavy & set(sys.modules)))
"""
    command = [COMMAND[0], "-c", code]
    run = subprocess.run(command, cwd=here, env=ENVIRONMENT, capture_output=True, text=True, check=True)

    assert run.stdout.splitlines()[-1] == "[]"


def test_a_user_error_is_one_sentence_and_its_code() -> None:
    assert list(UserError("Wrong.", 3, "task").messages.items()) == [("task", "Wrong.")]
