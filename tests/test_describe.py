"""`ft-template describe` says what cookiecutter.json says, in a form that a program can check answers with."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.generate import generate_context
from cookiecutter.prompt import prompt_for_config
from front_end import ft_template
from ft_template import __version__
from ft_template.answers.complete import answer_errors, complete
from ft_template.answers.describe import describe
from ft_template.create.bake import REPOSITORY
from ft_template.errors import UserError
from ft_template.template import Template, bundled
from jsonschema import Draft7Validator

QUESTIONS: dict[str, Any] = json.loads((REPOSITORY / "cookiecutter.json").read_text(encoding="utf-8"))
PROMPTS = QUESTIONS["__prompts__"]
ASKED = {name: default for name, default in QUESTIONS.items() if not name.startswith("_")}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return json.loads(json.dumps(describe(bundled(), 1)))


@pytest.fixture(scope="module")
def properties(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return document["schema"]["properties"]


def defaults(**given: str) -> dict[str, Any]:
    """What cookiecutter itself would answer."""
    context = generate_context(str(REPOSITORY / "cookiecutter.json"), extra_context=given)
    answers = prompt_for_config(context, no_input=True)
    return {name: answers[name] for name in ASKED}


def test_the_command_prints_the_document(document: dict[str, Any], tmp_path: Path) -> None:
    run = ft_template("describe", "--format-version", "1", cwd=tmp_path)

    assert run.returncode == 0
    assert json.loads(run.stdout) == document


@pytest.mark.parametrize(("arguments", "words"), [(["--format-version", "2"], "use 1."), ([], "--format-version")])
def test_the_format_has_to_be_known(tmp_path: Path, arguments: list[str], words: str) -> None:
    run = ft_template("describe", *arguments, cwd=tmp_path)

    assert run.returncode == 2
    assert words in run.stderr
    assert run.stdout == ""


def test_the_schema_is_one_of_draft_7(document: dict[str, Any]) -> None:
    assert document["schema"]["$schema"] == Draft7Validator.META_SCHEMA["$id"]
    Draft7Validator.check_schema(document["schema"])


def test_versions(document: dict[str, Any]) -> None:
    pyproject = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")

    assert document["protocol"] == 1
    assert document["version"] == __version__ == QUESTIONS["__template_version"]
    assert document["template"] == {"name": "ft-template", "version": __version__}
    assert f'requires-python = ">={document["min_python"]}"' in pyproject


def test_every_question_is_there_in_its_order(document: dict[str, Any], properties: dict[str, dict[str, Any]]) -> None:
    groups = {group["id"] for group in document["groups"]}

    assert list(properties) == list(ASKED)
    assert [question["x-order"] for question in properties.values()] == list(range(1, len(ASKED) + 1))
    assert {question["x-group"] for question in properties.values()} == groups
    assert all(question["title"] for question in properties.values())


def test_choices_defaults_and_prompts_are_those_of_cookiecutter(properties: dict[str, dict[str, Any]]) -> None:
    for name, default in ASKED.items():
        question = properties[name]
        assert question["default"] == defaults()[name]
        if isinstance(default, list):
            assert question["enum"] == default
            assert question["description"] == PROMPTS[name]["__prompt__"]
            for choice in question["x-choices"]:
                assert PROMPTS[name][choice["value"]] == f"{choice['label']}: {choice['description']}"
        else:
            assert question["description"] == PROMPTS[name]


def test_defaults_that_follow_from_other_answers(properties: dict[str, dict[str, Any]]) -> None:
    derived = {
        name: question["x-default-from"] for name, question in properties.items() if "x-default-from" in question
    }

    assert derived == {"project_slug": ["project_name"], "author": ["project_name"], "base_model": ["language", "task"]}
    by_task = properties["base_model"]["x-default-by"]["task"]
    assert by_task == {task: defaults(task=task)["base_model"] for task in ASKED["task"]}
    assert len(set(by_task.values())) > 3
    by_language = properties["base_model"]["x-default-by"]["language"]
    assert by_language == {"en": "google-bert/bert-base-uncased", "zh": "google-bert/bert-base-chinese"}


def test_the_schema_refuses_the_methods_that_the_rules_refuse(document: dict[str, Any]) -> None:
    validator = Draft7Validator(document["schema"])
    shown = {
        choice["value"]: choice.get("visible-if") for choice in document["schema"]["properties"]["method"]["x-choices"]
    }
    for task, method in itertools.product(ASKED["task"], ASKED["method"]):
        answers = {"task": task, "method": method}
        allowed = not answer_errors(bundled(), answers)
        assert validator.is_valid(answers) == allowed, answers
        assert (shown[method] is None or task in shown[method]["task"]) == allowed
    assert shown["head"] is not None


GOOD = [
    {},
    {"project_name": "微调 🚀", "author": "A <b@c.de>", "base_model": "./my model"},
    {"project_slug": "x" * 64, "base_model": "tiny:bert"},
    {"base_model": "C:\\models\\bert"},
]
BAD = [
    {"project_name": ""},
    {"project_name": "   "},
    {"project_name": 7},
    {"project_slug": "../up"},
    {"project_slug": "x" * 65},
    {"project_slug": "-rf"},
    {"description": "x" * 301},
    {"base_model": "a b"},
    {"task": "poetry"},
    {"environment": True},
    {"_extensions": ["os.system"]},
    {"unknown": "x"},
]


def test_schema_and_rules_agree(document: dict[str, Any]) -> None:
    """The rules know more (names of packages and devices, say); the schema never refuses what they allow."""
    validator = Draft7Validator(document["schema"])
    for answers in GOOD:
        assert not answer_errors(bundled(), answers), answers
        assert validator.is_valid(answers), answers
        assert validator.is_valid(complete(bundled(), answers))
    for answers in BAD:
        assert not validator.is_valid(answers), answers
        assert set(answer_errors(bundled(), answers)) == set(answers)


def test_an_unknown_format_is_a_user_error() -> None:
    with pytest.raises(UserError, match=re.escape("does not support format version 9")) as raised:
        describe(bundled(), 9)
    assert raised.value.code == 2


def test_flags_and_unknown_questions_of_another_template() -> None:
    """What cookiecutter.json may come to hold: a flag, and a question that no group names."""
    other = {"project_name": "A", "flag": False, "colour": ["red", "blue"]}
    template = Template("other", REPOSITORY, bundled=False, document={**other, "__prompts__": {"flag": "Really?"}})

    assert template.questions["flag"].prompt == "Really?"
    assert template.questions["colour"].choices == ("red", "blue")
    assert not template.supports_environment
    assert bundled().supports_environment
