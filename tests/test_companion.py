"""Acts as an IDE plugin, which knows docs/companion.md and the command only."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import files
from front_end import COMMAND, ENVIRONMENT, STEPS, ft_template, names
from ft_template.create.bake import REPOSITORY
from jsonschema import Draft7Validator

PAGE = (REPOSITORY / "docs/companion.md").read_text(encoding="utf-8")
EXAMPLES = [
    json.loads(line) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()
]


def run(*arguments: str | Path, cwd: Path) -> tuple[int, list[dict[str, Any]]]:
    """The exit code and the events."""
    result = ft_template("new", "--json", *arguments, cwd=cwd)
    assert result.stdout.isascii()
    return result.returncode, [json.loads(line) for line in result.stdout.splitlines()]


def answers_file(folder: Path, **answers: Any) -> Path:
    """Beside the folder in which a project is made."""
    path = folder.parent / "answers.json"
    path.write_text(json.dumps({"environment": "none", **answers}), encoding="utf-8")
    return path


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


# --- the way of a plugin ----------------------------------------------------------------------------------------------


def test_describe_validate_new_check(here: Path) -> None:
    document = json.loads(ft_template("describe", "--format-version", "1", cwd=here).stdout)
    assert document["protocol"] == 1
    form = document["schema"]["properties"]
    answers = {name: question["default"] for name, question in form.items() if "x-default-from" not in question}
    answers |= {"project_name": "Stimmung & 心情", "task": "token-classification", "method": "lora"}
    Draft7Validator(document["schema"]).validate(answers)
    given = answers_file(here, **answers)

    checked = json.loads(ft_template("validate", "--json", "--answers", given, cwd=here).stdout)
    code, events = run("--answers", given, cwd=here)
    hello, *_, result = events
    project = Path(result["project_dir"])

    assert code == 0
    assert hello == {"event": "hello", "protocol": 1, "version": document["version"]}
    assert checked == {"valid": True, "answers": result["answers"], "errors": []}
    assert result["answers"]["base_model"] == form["base_model"]["x-default-by"]["task"]["token-classification"]
    assert project.parent == here
    assert Path(result["interpreter"]).is_file()
    assert all((project / name).is_file() for name in result["open_files"])
    configurations = "".join(path.read_text() for path in (project / ".idea/runConfigurations").glob("*.xml"))
    assert f'name="{result["select_run_configuration"]}"' in configurations
    faults = json.loads(ft_template("check", project, "--json", cwd=here).stdout)["faults"]
    assert [fault for fault in faults if fault["severity"] != "note"] == []
    written = {name for name in files(project) if not name.startswith(".venv/")}
    assert {event["path"] for event in events if event["event"] == "file"} == written


def test_all_wrong_answers_are_told_at_once(here: Path) -> None:
    given = answers_file(here, project_name="a\nb", task="poetry", autor="me", license=7)
    code, events = run("--answers", given, cwd=here)
    errors = [event for event in events if event["event"] == "error"]
    checked = ft_template("validate", "--json", "--answers", given, cwd=here)

    assert code == checked.returncode == 3
    assert {error["field"] for error in errors} == {"project_name", "task", "autor", "license"}
    assert {error["code"] for error in errors} == {"answers"}
    assert "did you mean author?" in next(error["message"] for error in errors if error["field"] == "autor")
    assert json.loads(checked.stdout)["errors"] == [
        {key: error[key] for key in ("field", "message")} for error in errors
    ]
    assert names(here) == set()


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("a.json", "{", 3),
        ("a.json", "[1]", 3),
        ("a.json", '{"project_name": "\\ud800"}', 3),
        ("a.yaml", "author: yes", 3),
        ("a.yaml", "a: [", 3),
        ("a.yaml", "a: !!python/object/apply:os.system ['touch escaped']", 3),
        ("a.toml", "a = ", 3),
        ("a.txt", "a", 3),
        ("a.json", "\udcff", 3),
    ],
)
def test_answers_that_cannot_be_understood(here: Path, name: str, text: str, code: int) -> None:
    (here.parent / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    returned, events = run("--answers", here.parent / name, cwd=here)

    assert returned == code
    assert events[-1]["event"] == "error"
    assert "\n" not in events[-1]["message"]
    assert names(here) == set()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"project_name": "From a file", "environment": "none"}'),
        ("a.yaml", "project_name: From a file\nenvironment: none\n"),
        ("a.toml", 'project_name = "From a file"\nenvironment = "none"\n'),
    ],
)
def test_answers_in_each_format(here: Path, name: str, text: str) -> None:
    (here.parent / name).write_text(text)
    code, events = run("--answers", here.parent / name, "--set", "author=Ada", "--dry-run", cwd=here)

    assert code == 0
    assert events[-1]["answers"]["project_name"] == "From a file"
    assert events[-1]["answers"]["author"] == "Ada"
    assert names(here) == set()


def test_a_usage_error_is_an_event_too(here: Path) -> None:
    code, events = run("--answers", "nowhere.json", cwd=here)

    assert code == 2
    assert events[-1]["code"] == "usage"


# --- the page ---------------------------------------------------------------------------------------------------------


OPEN_ENDED = {"answers"}  # an example shows some of them


def alike(example: Any, real: Any) -> bool:
    """Whether they have the same keys with values of the same types; null has any type, a list that of its first."""
    if isinstance(example, dict) and isinstance(real, dict):
        same = all(key in OPEN_ENDED or alike(example[key], real[key]) for key in example.keys() & real.keys())
        return example.keys() == real.keys() and same
    if isinstance(example, list) and isinstance(real, list):
        return not example or not real or alike(example[0], real[0])
    return None in (example, real) or type(example) is type(real)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Everything that the command prints, in one list."""
    here = tmp_path_factory.mktemp("page")
    template = here / "template"
    (template / "hooks").mkdir(parents=True)
    (template / "{{cookiecutter.name}}").mkdir()
    (template / "cookiecutter.json").write_text('{"name": "a", "environment": ["empty", "install", "none"]}')
    (template / "hooks/post_gen_project.py").write_text("print('said')")
    (template / "{{cookiecutter.name}}/setup_env.py").write_text("raise SystemExit(3)")
    code, failed = run("--template", template, "--set", "environment=install", cwd=here)
    assert code == 6
    documents = [ft_template(*command, cwd=here).stdout for command in (("doctor", "--json"), ("validate", "--json"))]
    invalid = ft_template("validate", "--json", "--set", "task=no", cwd=here).stdout
    (here / "faulty").mkdir()
    (here / "faulty/pyproject.toml").touch()
    faulty = ft_template("check", "faulty", "--json", cwd=here)
    assert faulty.returncode == 1
    assert faulty.stdout.isascii()
    return [
        *failed,
        *run(cwd=here)[1],
        *run("--set", "task=no", cwd=here)[1],
        *map(json.loads, [*documents, invalid, faulty.stdout]),
    ]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.get("event", "document"))
def test_every_example_of_the_page_is_as_it_is(example: dict[str, Any], real: list[dict[str, Any]]) -> None:
    assert any(alike(example, document) for document in real if document.get("event") == example.get("event"))


def test_every_event_is_on_the_page(real: list[dict[str, Any]]) -> None:
    described = {example["event"] for example in EXAMPLES if "event" in example}

    assert {document["event"] for document in real if "event" in document} == described
    assert all(f"`{step}`" in PAGE for step in STEPS)


def test_every_key_of_the_description_is_on_the_page(tmp_path: Path) -> None:
    document = json.loads(ft_template("describe", "--format-version", "1", cwd=tmp_path).stdout)
    keys = {*document, *(key for question in document["schema"]["properties"].values() for key in question)}

    assert {key for key in keys if f"`{key}`" not in PAGE} == set()


# --- cancel -----------------------------------------------------------------------------------------------------------


def started(*arguments: str | Path, cwd: Path, temporary: Path) -> "subprocess.Popen[str]":
    command = [*COMMAND, "new", "--json", *map(str, arguments)]
    environment = ENVIRONMENT | {"TMPDIR": str(temporary)}
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def lines_until(child: "subprocess.Popen[str]", step: str) -> Iterator[dict[str, Any]]:
    assert child.stdout is not None
    for line in child.stdout:
        event = json.loads(line)
        yield event
        if event.get("id") == step:
            return


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to catch")
@pytest.mark.parametrize("step", STEPS)
def test_a_cancel_at_each_step(here: Path, tmp_path: Path, step: str) -> None:
    """The signal comes as soon as the step is told. Once the project is in its place it stays, and only then."""
    (tmp_path / "temporary").mkdir()
    child = started("--set", "environment=empty", cwd=here, temporary=tmp_path / "temporary")
    events = list(lines_until(child, step))
    child.send_signal(signal.SIGTERM)
    rest, words = child.communicate(timeout=30)
    events += map(json.loads, rest.splitlines())

    assert "Traceback" not in words
    assert names(tmp_path / "temporary") == set()
    if step in ("place", "environment") and events[-1]["event"] == "result":
        assert child.returncode in (0, 6)  # 0: the signal came too late to stop anything
        assert {path.name for path in here.iterdir()} == {"my-project"}
        told = {event["path"] for event in events if event["event"] == "file"}
        assert told == {name for name in files(here / "my-project") if not name.startswith(".venv/")}
    else:
        assert child.returncode == 130
        assert events[-1] == {
            "event": "error",
            "code": "interrupted",
            "message": "Interrupted; nothing was created.",
            "field": None,
        }
        assert names(here) == set()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to catch")
def test_a_cancel_ends_an_installation_and_keeps_the_project(here: Path, tmp_path: Path) -> None:
    template, mark = tmp_path / "template", tmp_path / "pid"
    (template / "{{cookiecutter.name}}").mkdir(parents=True)
    (template / "cookiecutter.json").write_text('{"name": "a", "environment": ["empty", "install", "none"]}')
    note = f"import os, time\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\n"
    script = f"{note}print('begun', flush=True)\ntime.sleep(60)\n"
    (template / "{{cookiecutter.name}}/setup_env.py").write_text(script)
    (tmp_path / "temporary").mkdir()
    arguments = ("--template", template, "--set", "environment=install", "--set", "name=project")
    child = started(*arguments, cwd=here, temporary=tmp_path / "temporary")
    assert child.stdout is not None
    for line in child.stdout:
        if json.loads(line) == {"event": "log", "level": "info", "text": "begun"}:
            break
    child.send_signal(signal.SIGTERM)
    began = time.monotonic()
    rest, _ = child.communicate(timeout=30)
    warning, result = map(json.loads, rest.splitlines())

    assert child.returncode == 6
    assert time.monotonic() - began < 10
    assert "Interrupted; the project is complete" in warning["message"]
    assert (Path(result["project_dir"]) / "setup_env.py").is_file()
    assert names(tmp_path / "temporary") == set()
    installer = int(mark.read_text())
    assert not psutil.pid_exists(installer) or psutil.Process(installer).status() == psutil.STATUS_ZOMBIE
