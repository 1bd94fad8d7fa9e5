"""Each hostile text as the answer to each question, through `ft-template new` and through plain cookiecutter."""

import itertools
import json
import shutil
import tempfile
import tomllib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from conftest import Bake, files
from cookiecutter.generate import generate_context
from cookiecutter.prompt import prompt_for_config
from front_end import Recorder, names
from ft_template import template
from ft_template.answers.complete import answer_errors, resolve
from ft_template.create import new as module
from ft_template.create import run_job, worker
from ft_template.create.bake import REPOSITORY, bake
from ft_template.create.new import Request, new
from ft_template.template import bundled
from hostile import HOSTILE
from pre_gen_project import first_error

QUESTIONS = bundled().questions
BOOLEANS = [name for name, question in QUESTIONS.items() if isinstance(question.default, bool)]
TEXTS = [name for name, question in QUESTIONS.items() if not question.choices and name not in BOOLEANS]
CASES = list(itertools.product(QUESTIONS, HOSTILE))
DEFAULTS = resolve(bundled(), {})


def is_allowed(question: str, value: str) -> bool:
    """By the rules; a slug follows from the name, and may be what is wrong with it. A boolean takes the text "yes"."""
    if question == "project_name" or question in BOOLEANS:
        return not answer_errors(bundled(), {question: value})
    return first_error({**DEFAULTS, question: value}) is None


ALLOWED = {text: [name for name in (*TEXTS, *BOOLEANS) if is_allowed(name, value)] for text, value in HOSTILE.items()}
"""By hostile text the questions that may be answered so; all its other uses are refused."""


def test_enough_is_tried() -> None:
    refused = [(name, text) for name, text in CASES if name not in ALLOWED[text]]

    assert len(CASES) == len(QUESTIONS) * len(HOSTILE) >= 550
    assert len(refused) >= 450
    assert len(CASES) - len(refused) >= 70
    assert all(name not in ALLOWED[text] for name, text in CASES if QUESTIONS[name].choices)


@pytest.fixture(scope="module")
def slim(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template without the files that are copied as they are: no answer can reach these."""
    folder = tmp_path_factory.mktemp("slim") / "ft-template"
    ignored = shutil.ignore_patterns("src", "tests", "data", "docs", "benchmarks")
    shutil.copytree(repository, folder, symlinks=True, ignore=ignored)
    return folder


@pytest.fixture
def here(tmp_path: Path, slim: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder beside others; jobs run in this process, which is quicker (test_new.py has the real thing)."""
    for name in ("here", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(template, "BUNDLE", slim)

    def run_here(scratch: Path, on_output: Any, *, job: str, **arguments: Any) -> dict[str, Any]:
        return worker.JOBS[job](**arguments)

    monkeypatch.setattr(run_job, "run_job", run_here)
    monkeypatch.setattr(module, "project_faults", lambda project, check: [])  # of a slim project, that it is slim
    return tmp_path / "here"


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_is_refused_leaves_nothing(here: Path, question: str) -> None:
    before = names(here.parent)
    for text, value in HOSTILE.items():
        if question in ALLOWED[text]:
            continue
        told = Recorder()
        assert new(Request({question: value}), told) == 3, text
        refused = told.one("error")
        assert refused["field"] == question or (question, refused["field"]) == ("project_name", "project_slug"), text
        assert refused["message"].startswith(f"{refused['field']} "), text
        assert refused["message"].endswith("."), text
        assert refused["message"].isprintable(), text
        assert names(here.parent) == before, text


@pytest.mark.parametrize("question", TEXTS)
def test_cookiecutter_refuses_the_same(question: str) -> None:
    """By the rules of the hook, on what cookiecutter makes of an answer; test_answers.py has whole bakes."""
    for text, value in HOSTILE.items():
        context = generate_context(str(REPOSITORY / "cookiecutter.json"), extra_context={question: value})
        for name in QUESTIONS.keys() - {*TEXTS, *BOOLEANS}:  # quicker with fewer choices to render
            del context["cookiecutter"][name][1:]
        originals = {name: answer for name, answer in context["cookiecutter"].items() if not name.startswith("_")}
        if "__init__" in value:
            continue  # cookiecutter runs it; nothing of ours can come before
        try:
            answers = prompt_for_config(context, no_input=True)
        except Exception:  # no expression that can be evaluated: cookiecutter stops by itself
            assert question not in ALLOWED[text], text
            continue
        assert (first_error(answers, originals) is None) == (question in ALLOWED[text]), text


@pytest.mark.parametrize("question", [name for name in QUESTIONS if name not in TEXTS])
def test_cookiecutter_takes_choices_only(question: str, bake_project: Bake, tmp_path: Path) -> None:
    for text, value in HOSTILE.items():
        if question in ALLOWED[text]:
            continue
        with pytest.raises(ValueError, match=r"provided for (choice )?variable"):
            bake_project(tmp_path, **{question: value})
        assert names(tmp_path) == set(), text


@pytest.mark.parametrize("text", [text for text, allowed in ALLOWED.items() if allowed])
def test_what_is_taken_comes_out_as_it_went_in(here: Path, slim: Path, text: str) -> None:
    given = dict.fromkeys(ALLOWED[text], HOSTILE[text]) | {"editor": "both", "environment": "none"}
    told = Recorder()
    assert new(Request(given), told) == 0, told.events[-1]
    answers = told.one("result")["answers"]
    project = here / answers["project_slug"]

    assert {name: answers[name] for name in given} == given | {name: True for name in given if name in BOOLEANS}
    assert {path.name for path in here.iterdir()} == {project.name}
    assert names(here.parent / "temporary") == set()
    check_round_trip(project, answers)
    assert files(project) == files(bake(here.parent / "cookiecutter", given, template=slim, hooks=False))


def check_round_trip(project: Path, answers: dict[str, Any]) -> None:
    """Every file that carries an answer, read by its own reader; and all the others can be read at all."""
    slug = answers["project_slug"]
    declared = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert declared["name"] == slug
    assert declared["description"] == answers["description"]
    assert declared["authors"] == [{"name": answers["author"]}]
    readme = (project / "README.md").read_text(encoding="utf-8")
    assert readme.startswith(f"# {answers['project_name']}\n\n{answers['description']}\n")
    assert f"Copyright (c) {answers['author']}\n" in (project / "LICENSE").read_text(encoding="utf-8")
    for name in ("train", "demo"):
        config = yaml.safe_load((project / f"configs/{name}.yaml").read_text(encoding="utf-8"))
        assert config["task"]["type"] == answers["task"]
        assert name == "demo" or config["model"]["name"] == answers["base_model"]
    record = (project / ".ft-template.json").read_text(encoding="utf-8")
    assert json.loads(record) == yaml.safe_load(record), "cookiecutter and cruft would read it as YAML"
    recorded = json.loads(record)["default_context"]
    assert recorded == {name: answer for name, answer in answers.items() if name != "environment"}
    modules = ElementTree.parse(project / ".idea/modules.xml")
    assert [node.get("filepath") for node in modules.iter("module")] == [f"$PROJECT_DIR$/.idea/{slug}.iml"]
    for path in project.rglob("*"):
        if path.suffix in (".xml", ".iml"):
            named = {node.get("name") for node in ElementTree.parse(path).iter("module")} - {None}
            assert named <= {slug}, path
        elif path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
    compile((project / "setup_env.py").read_text(encoding="utf-8"), "setup_env.py", "exec")
