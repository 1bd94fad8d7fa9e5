"""Answers are data: they come out as they went in, or are refused with one sentence before anything is written."""

import json
import re
from pathlib import Path
from typing import get_args

import pytest
from conftest import Bake
from cookiecutter.exceptions import FailedHookException
from finetune.tasks.table import TASKS
from ft_template.create.bake import REPOSITORY
from packaging.utils import canonicalize_name
from pre_gen_project import DERIVED_DEFAULT, RESERVED_NAMES, first_error, method_error

GOOD = {
    "project_name": "Good",
    "project_slug": "good",
    "task": "text-classification",
    "method": "full",
    "base_model": "google-bert/bert-base-cased",
}


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("My Project", "my-project"),
        ("微调 情感分析", "wei-diao-qing-gan-fen-xi"),
        ("Überprüfung №2", "uberprufung-no2"),
        ("🚀", "my-project"),
        ("  2024: a run  ", "2024-a-run"),
        ("x" * 200, "x" * 60),
    ],
)
def test_slug_follows_from_the_name(bake_project: Bake, name: str, slug: str) -> None:
    assert bake_project(project_name=name).name == slug


REFUSED = [
    ("project_name", "", "is empty"),
    ("project_name", "  ", "is empty"),
    ("project_name", "a\nb", "one line"),
    ("project_name", "a\tb", "one line"),
    ("project_name", "a\x00b", "one line"),
    ("project_name", "a\x7fb", "one line"),
    ("project_name", "a\u2028b", "one line"),
    ("project_name", "a\uffffb", "one line"),
    ("project_name", "a\udc80b", "one line"),
    ("project_name", "safe\u202etxt.exe", "one line"),
    ("project_name", "{{ 7 * 7 }}", "template expression"),
    ("description", "{% raw", "template expression"),
    ("author", "{# a comment", "template expression"),
    ("author", "x" * 301, "at most 300"),
    ("project_slug", "", "folder"),
    ("project_slug", ".", "folder"),
    ("project_slug", "..", "folder"),
    ("project_slug", "../escaped", "folder"),
    ("project_slug", "a/b", "folder"),
    ("project_slug", r"a\b", "folder"),
    ("project_slug", "/absolute", "folder"),
    ("project_slug", "-rf", "folder"),
    ("project_slug", ".hidden", "folder"),
    ("project_slug", "ends-", "folder"),
    ("project_slug", "ends.", "folder"),
    ("project_slug", "with space", "folder"),
    ("project_slug", "ünicode", "folder"),
    ("project_slug", "微调", "folder"),
    ("project_slug", "new\n", "one line"),
    ("project_slug", "x" * 65, "folder"),
    ("project_slug", "CON", "device name on Windows"),
    ("project_slug", "com1.data", "device name on Windows"),
    ("project_slug", "torch", "package"),
    ("project_slug", "Scikit_Learn", "package"),
    ("project_slug", "finetune", "package"),
    ("base_model", "", "name of a model"),
    ("base_model", "a/b/c", "name of a model"),
    ("base_model", "bert base", "name of a model"),
    ("base_model", "-option", "name of a model"),
    ("base_model", "https://example.org/model", "name of a model"),
]


@pytest.mark.parametrize(("question", "answer", "words"), REFUSED)
def test_an_error_is_one_sentence_that_names_the_question(question: str, answer: str, words: str) -> None:
    sentence = first_error({**GOOD, question: answer})

    assert sentence is not None
    assert sentence.startswith(question)
    assert words in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_a_method_that_the_package_refuses_for_a_task_is_refused_at_once() -> None:
    methods = json.loads((REPOSITORY / "cookiecutter.json").read_text(encoding="utf-8"))["method"]
    for settings in TASKS:
        name = get_args(settings.model_fields["type"].annotation)[0]
        assert [m for m in methods if method_error(name, m)] == [m for m in methods if m in settings.refused_methods]
    assert "has no new head; choose lora" in str(first_error({**GOOD, "task": "chat", "method": "head"}))


def test_good_answers_have_no_problem() -> None:
    assert first_error(GOOD) is None


@pytest.mark.parametrize("slug", ["a", "A1", "my_project", "my.project-2", "con-project", "x" * 64])
def test_good_slugs(slug: str) -> None:
    assert first_error({**GOOD, "project_slug": slug}) is None


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("project_name", ""),
        ("project_name", "a\nb"),
        ("project_name", "a\udc80b"),
        ("project_name", "{{ 7 * 7 }}"),
        ("description", "{{ cookiecutter.project_name }}"),
        ("base_model", "{{ 'a' }}"),
        ("project_slug", "../escaped"),
        ("project_slug", "-rf"),
        ("project_slug", "CON"),
        ("project_slug", "numpy"),
        ("project_slug", "{{ 7 * 7 }}"),
        ("base_model", "a b"),
    ],
)
def test_refused_answers_leave_nothing(
    bake_project: Bake, tmp_path: Path, capfd: pytest.CaptureFixture[str], question: str, answer: str
) -> None:
    (tmp_path / "out").mkdir()
    before = tree(tmp_path)
    with pytest.raises(FailedHookException):
        bake_project(tmp_path / "out", **{question: answer})

    assert tree(tmp_path) == before
    assert capfd.readouterr().err.splitlines()[0].startswith(f"{question} ")


def test_absolute_slug_leaves_nothing(bake_project: Bake, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(FailedHookException):
        bake_project(tmp_path / "out", project_slug=str(tmp_path / "absolute"))

    assert tree(tmp_path) == {"out"}


def test_slug_with_folders_leaves_no_file(bake_project: Bake, tmp_path: Path) -> None:
    """Cookiecutter makes the folders on the way before any hook runs, and takes back only the last one."""
    with pytest.raises(FailedHookException):
        bake_project(project_slug="on/the/way")

    assert tree(tmp_path) == {"on", "on/the"}


def test_no_dependency_can_be_the_name_of_a_project() -> None:
    pins = (REPOSITORY / "template/constraints.txt").read_text(encoding="utf-8")
    dependencies = {canonicalize_name(line.split("==")[0]) for line in pins.splitlines() if "==" in line}

    assert dependencies <= RESERVED_NAMES


def test_questions_are_flat_and_their_texts_are_shown_as_written() -> None:
    questions = json.loads((REPOSITORY / "cookiecutter.json").read_text(encoding="utf-8"))
    prompts = questions.pop("__prompts__")
    asked = {name: default for name, default in questions.items() if not name.startswith("_")}

    assert set(prompts) == set(asked)
    for name, default in asked.items():
        assert isinstance(default, str | list | bool)
        if isinstance(default, list):
            assert set(prompts[name]) == {"__prompt__", *default}
        elif isinstance(default, str):
            assert DERIVED_DEFAULT.fullmatch(default) or "{" not in default
    # Cookiecutter prints these through rich, which takes square brackets for markup.
    assert not re.search(r"[\[\]]", json.dumps(prompts))
