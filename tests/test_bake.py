"""What comes out of the template: exactly which files, all of them rendered, all of them readable by their readers."""

import itertools
import json
import re
import shutil
import tomllib
import xml.etree.ElementTree as ElementTree
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import DATA_FORMAT, IN_BOTH, LINK, TASKS, TINY, Bake, files
from ft_template import __version__
from ft_template.create.bake import REPOSITORY, bake
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pre_gen_project import method_error

QUESTIONS = json.loads((REPOSITORY / "cookiecutter.json").read_text(encoding="utf-8"))
COPIED = QUESTIONS["_copy_without_render"]

# Every file outside of the package, its tests and the schema; {slug} and {format} stand for answers.
FILES = """
.editorconfig .env.example .ft-template.json .gitattributes .github/workflows/ci.yml .gitignore LICENSE README.md
AGENTS.md CLAUDE.md constraints.txt hashes.txt pyproject.toml setup_env.py
.idea/.gitignore .idea/{slug}.iml .idea/dictionaries/project.xml .idea/jsonSchemas.xml .idea/modules.xml
.idea/pyProjectModel.xml
.idea/runConfigurations/All_tests.xml .idea/runConfigurations/Check_data.xml
.idea/runConfigurations/Compare_last_two_runs.xml
.idea/runConfigurations/Debug_one_batch.xml .idea/runConfigurations/Doctor.xml
.idea/runConfigurations/Download_base_model.xml .idea/runConfigurations/Evaluate.xml
.idea/runConfigurations/Errors.xml .idea/runConfigurations/Explain.xml
.idea/runConfigurations/Install_dependencies.xml .idea/runConfigurations/Predict.xml .idea/runConfigurations/Proofs.xml
.idea/runConfigurations/Resume.xml .idea/runConfigurations/Serve.xml .idea/runConfigurations/Sweep.xml
.idea/runConfigurations/TensorBoard.xml
.idea/runConfigurations/Train.xml .idea/runConfigurations/Train__2_processes_.xml
.idea/runConfigurations/Train__demo_.xml
.idea/runConfigurations/Train__demo____TensorBoard.xml
configs/demo.yaml configs/train.yaml sweeps/demo.yaml
data/demo/README.md data/demo/test.{format} data/demo/train.{format} data/demo/validation.{format}
"""
CUSTOMER_SERVICE = """
.idea/runConfigurations/Customer_service.xml .idea/runConfigurations/Mine_hard_negatives.xml
.idea/runConfigurations/Search.xml pipelines/customer-service.yaml
data/customer-service/chat-test.jsonl data/customer-service/chat-train.jsonl
data/customer-service/chat-validation.jsonl data/customer-service/corpus.jsonl
"""
"""Of projects of the task retrieval."""


def template_files(repository: Path) -> dict[str, bytes]:
    return files(repository / "template")


def task_of(project: Path) -> str:
    config = yaml.safe_load((project / "configs/demo.yaml").read_text(encoding="utf-8"))
    return str(config["task"]["type"])


def toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def test_exactly_these_files(project: Path, repository: Path) -> None:
    package = {name for name in template_files(repository) if name.startswith(("src/", "tests/", "schemas/"))}
    task = task_of(project)
    expected = FILES.format(slug="my-project", format=DATA_FORMAT[task]).split()
    if task == "text-classification":
        expected.append("configs/continual.yaml")
    if task == "retrieval":
        expected += CUSTOMER_SERVICE.split()

    assert set(files(project)) == package | set(expected)


def test_files_without_jinja_are_the_same_bytes(project: Path, repository: Path) -> None:
    baked = files(project)
    copied = {
        name: content
        for name, content in template_files(repository).items()
        if any(fnmatch(name, pattern) for pattern in COPIED)
    }

    assert copied
    assert {name: baked[name] for name in copied} == copied


def test_nothing_is_left_unrendered(project: Path) -> None:
    for name, content in files(project).items():
        assert not re.search(r"[{}%|\"<>:?*\\]", name), f"{name} cannot be a file name on Windows"
        assert b"{{ cookiecutter" not in content, name
        if not any(fnmatch(name, pattern) for pattern in COPIED):
            assert not re.search(rb"\{[{%#]", content), name


def test_no_trailing_blanks_and_one_last_newline(project: Path) -> None:
    rendered = [name for name in files(project) if not name.startswith(("src/", "tests/", "data/", "schemas/"))]
    for name in rendered:
        text = (project / name).read_text(encoding="utf-8")
        assert not re.search(r"[ \t]+$", text, re.MULTILINE), name
        assert text.endswith("\n"), name
        assert not text.endswith("\n\n"), name


def test_every_file_parses(project: Path) -> None:
    parsers = {
        ".toml": tomllib.loads,
        ".xml": ElementTree.fromstring,
        ".iml": ElementTree.fromstring,
        ".json": json.loads,
        ".yaml": yaml.safe_load,
        ".yml": yaml.safe_load,
    }
    parsed = set()
    for name, content in files(project).items():
        if parse := parsers.get(Path(name).suffix):
            parse(content.decode())
            parsed.add(Path(name).suffix)

    assert parsed == set(parsers)


@pytest.mark.parametrize(
    ("task", "method"),
    [pair for pair in itertools.product(TASKS, QUESTIONS["method"]) if not method_error(*pair)],
)
def test_configs_hold_the_answers(bake_project: Bake, task: str, method: str) -> None:
    project = bake_project(task=task, method=method, base_model="./models/mine")
    demo, train = (
        yaml.safe_load((project / "configs" / name).read_text(encoding="utf-8")) for name in ("demo.yaml", "train.yaml")
    )

    assert demo["model"]["name"] == TINY.get(task, "tiny:bert")
    assert demo["method"] == {"type": "full"}
    assert train["model"]["name"] == "./models/mine"
    assert train["method"] == {"type": method}
    for config in (demo, train):
        assert config["task"]["type"] == task
        assert all((project / path).is_file() for path in config["data"].values())


def test_record_holds_the_version_and_the_answers(bake_project: Bake) -> None:
    """All but the environment, which is of one machine."""
    record = json.loads((bake_project(task="chat", method="lora") / ".ft-template.json").read_text(encoding="utf-8"))
    answers = record.pop("default_context")

    assert record == {"template": "ft-template", "version": QUESTIONS["__template_version"]}
    assert {*answers, "environment"} == {name for name in QUESTIONS if not name.startswith("_")}
    assert (answers["project_slug"], answers["task"], answers["method"]) == ("my-project", "chat", "lora")


def test_first_line_of_a_config_is_its_command(project: Path) -> None:
    verbs = {"configs": "train", "sweeps": "sweep", "pipelines": "pipeline"}
    for config in (file for folder in verbs for file in (project / folder).glob("*")):
        lines = config.read_text(encoding="utf-8").splitlines()
        folder = config.parent.name
        assert lines[0] == f"# python -m finetune {verbs[folder]} {folder}/{config.name}"
        schema = lines[1].removeprefix("# yaml-language-server: $schema=")
        assert (config.parent / schema).is_file()


@pytest.mark.parametrize(
    ("license_name", "words", "spdx"),
    [
        ("MIT", "Permission is hereby granted, free of charge", "MIT"),
        ("Apache-2.0", "Version 2.0, January 2004", "Apache-2.0"),
        ("BSD-3-Clause", "Neither the name of the copyright holder", "BSD-3-Clause"),
        ("Proprietary", "All rights reserved", "LicenseRef-Proprietary"),
    ],
)
def test_license(bake_project: Bake, license_name: str, words: str, spdx: str) -> None:
    project = bake_project(license=license_name, author="Ada Lovelace")
    text = (project / "LICENSE").read_text(encoding="utf-8")

    assert words in text
    assert "Ada Lovelace" in text
    assert toml(project / "pyproject.toml")["project"]["license"] == spdx


@pytest.mark.parametrize("accelerator", QUESTIONS["accelerator"])
def test_accelerator_is_left_for_setup_env(bake_project: Bake, accelerator: str) -> None:
    table = toml(bake_project(accelerator=accelerator) / "pyproject.toml")["tool"]["finetune"]

    assert table == {"accelerator": accelerator, "language": "en"}


@pytest.mark.parametrize("task", TASKS)
def test_chinese_has_the_same_files_and_its_own_demo_data(repository: Path, bake_project: Bake, task: str) -> None:
    project = bake_project(task=task, language="zh")
    english = bake_project(project.parent / "en", task=task)
    data = project / f"data/demo/train.{'jsonl' if task in IN_BOTH else DATA_FORMAT[task]}"
    condition = f"cookiecutter.task == '{task}'" + (" and cookiecutter.language == 'zh'" if task in IN_BOTH else "")

    assert {name.replace(".conll", ".jsonl") for name in files(english)} | {"README.zh-CN.md"} == set(files(project))
    shipped = repository / f"template/data/demo/{{% if {condition} %}}{data.name}{{% endif %}}"
    assert data.read_bytes() == shipped.read_bytes()
    assert toml(project / "pyproject.toml")["tool"]["finetune"]["language"] == "zh"
    train = yaml.safe_load((project / "configs/train.yaml").read_text(encoding="utf-8"))
    assert train["task"].get("bleu_tokenizer") == ("zh" if task == "translation" else None)


@pytest.mark.parametrize("task", TASKS)
def test_the_chinese_readme_names_every_task_and_commands_of_the_other(bake_project: Bake, task: str) -> None:
    project = bake_project(task=task, language="zh")
    english, chinese = ((project / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md"))
    commands = [line for line in chinese.splitlines() if line.startswith(("python", ".venv"))]
    assert len(commands) > 7
    assert [line for line in commands if line not in english.splitlines()] == []
    assert all(name in chinese for name in TASKS)


@pytest.mark.parametrize(
    ("task", "model"),
    [
        ("text-classification", "google-bert/bert-base-chinese"),
        ("token-classification", "google-bert/bert-base-chinese"),
        ("ranking", "google-bert/bert-base-chinese"),
        ("retrieval", "BAAI/bge-small-zh-v1.5"),
        ("text-generation", "Qwen/Qwen2.5-0.5B"),
        ("chat", "Qwen/Qwen2.5-0.5B-Instruct"),
        ("translation", "bigscience/mt0-small"),
        ("summarization", "bigscience/mt0-small"),
    ],
)
def test_the_default_model_for_chinese_knows_chinese(bake_project: Bake, task: str, model: str) -> None:
    config = (bake_project(task=task, language="zh") / "configs/train.yaml").read_text(encoding="utf-8")

    assert yaml.safe_load(config)["model"]["name"] == model
    assert yaml.safe_load(config)["task"].get("prefix", "") == ""


def test_versions_agree() -> None:
    assert __version__ == QUESTIONS["__template_version"]


PINNED = ("dev", "onnx", "sweep", "mlflow", "wandb")
"""Extras of the project that constraints.txt pins, and the tests run with."""


def pins_and_needs(project: Path) -> tuple[set[str], set[str]]:
    """The packages that constraints.txt pins, and those that are needed here, each of which has a pin that fits."""
    pins = dict(
        line.split("==")
        for line in (project / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    )
    declared = toml(project / "pyproject.toml")["project"]
    extras = declared["optional-dependencies"]
    pending = [Requirement(text) for text in itertools.chain(declared["dependencies"], *map(extras.get, PINNED))]
    needed = set()
    while pending:
        requirement = pending.pop()
        name, extras_of_it = canonicalize_name(requirement.name), frozenset({"", *requirement.extras})
        if (name, extras_of_it) in needed:
            continue
        needed.add((name, extras_of_it))
        assert requirement.specifier.contains(pins[name]), f"constraints.txt has {name} {pins[name]}, not {requirement}"
        pending += [
            needs
            for needs in map(Requirement, metadata.requires(name) or [])
            if not needs.marker or any(needs.marker.evaluate({"extra": extra}) for extra in extras_of_it)
        ]

    return set(pins), {name for name, _ in needed}


def test_every_pin_but_torch_has_hashes(bake_project: Bake) -> None:
    """torch has a build for each accelerator, from an index of its own."""
    project = bake_project(include_notebook="yes")
    lines = (project / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {line for line in lines if not line.startswith("#") and not line.startswith("torch==")}
    entries = re.split(r"\n(?=\S)", (project / "hashes.txt").read_text(encoding="utf-8").strip())
    assert {entry.split()[0] for entry in entries} == pins
    assert all(re.fullmatch(r"\S+( \\\n    --hash=sha256:[0-9a-f]{64})+", entry) for entry in entries)


def test_constraints_pin_every_dependency_and_what_it_needs(project: Path) -> None:
    pins, needed = pins_and_needs(project)
    assert pins == needed | {"colorama"}  # needed on Windows only


def test_constraints_pin_what_the_notebook_needs(bake_project: Bake) -> None:
    pins, needed = pins_and_needs(bake_project(include_notebook="yes"))
    assert {"ipykernel", "notebook"} <= needed
    assert pins == needed | {"appnope", "colorama", "overrides", "pywinpty"}  # other systems, or Python 3.11 only


def test_the_repository_tests_with_what_the_project_needs(bake_project: Bake) -> None:
    project = bake_project(include_notebook="yes")
    declared = toml(project / "pyproject.toml")["project"]
    extras = declared["optional-dependencies"]
    ours = toml(REPOSITORY / "pyproject.toml")["project"]["optional-dependencies"]["test"]

    assert set(itertools.chain(declared["dependencies"], *map(extras.get, PINNED))) <= set(ours)


def test_two_bakes_give_the_same_bytes(bake_project: Bake, tmp_path: Path) -> None:
    first, second = tmp_path / "one", tmp_path / "an other's földer"
    for folder in (first, second):
        folder.mkdir()

    assert files(bake_project(first)) == files(bake_project(second))


def test_nothing_asks_for_the_time_or_for_chance(repository: Path) -> None:
    """Cookiecutter offers both to a template."""
    for name, content in template_files(repository).items():
        if not any(fnmatch(name, pattern) for pattern in COPIED):
            assert not re.search(rb"\{%-?\s*now\b|uuid4|random_ascii_string", content), name


def test_traces_of_work_in_the_template_do_not_come_along(repository: Path, bake_project: Bake, tmp_path: Path) -> None:
    worked_on = tmp_path / "ft-template"
    shutil.copytree(repository, worked_on, symlinks=True)
    for name in ("src/finetune/__pycache__/config.cpython-311.pyc", ".mypy_cache/3.11/cache.db", ".ruff_cache/0.1/1"):
        (worked_on / "template" / name).parent.mkdir(parents=True)
        # Text for the first 512 bytes, by which cookiecutter judges, and not for those after them.
        (worked_on / "template" / name).write_bytes(b"{{ " + b"x" * 600 + b"\xe2\x00")
    answers = {"environment": "none"}

    assert files(bake(tmp_path / "out", answers, template=worked_on)) == files(bake_project())


def test_tools_can_read_the_settings_in_place() -> None:
    """ruff and pytest take template/pyproject.toml as it is when the package is worked on inside the template."""
    assert (
        toml(REPOSITORY / "template/pyproject.toml")["tool"]["ruff"]
        == toml(REPOSITORY / "pyproject.toml")["tool"]["ruff"]
    )


def test_a_project_is_typed_by_the_settings_that_dev_py_lint_checks() -> None:
    project, ours = (toml(REPOSITORY / name)["tool"]["mypy"] for name in ("template/pyproject.toml", "pyproject.toml"))
    for settings in (project, ours):
        del settings["mypy_path"], settings["files"]
    untyped = ours["overrides"][0]["module"]
    for name in ("cookiecutter.*", "jsonschema.*"):  # of the generator
        untyped.remove(name)
    assert project == ours


def test_template_has_one_entry_and_no_links(repository: Path) -> None:
    """Cookiecutter takes whichever it meets first, and follows links inside the template out of it."""
    assert [path.name for path in repository.iterdir() if "cookiecutter." in path.name and "{" in path.name] == [LINK]
    assert not [path for path in (repository / "template").rglob("*") if path.is_symlink()]
