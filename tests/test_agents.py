"""AGENTS.md for assistants that write code: its commands run as they stand there, in projects of different answers."""

import re
import shlex
from pathlib import Path

import pytest
from conftest import Bake
from ft_template.create.bake import REPOSITORY
from tutorial import blocks
from warm import run

NOT_RUN = {
    "python setup_env.py": "downloads PyTorch; test_end_to_end.py runs it",
    "python -m pytest -n auto --dist loadfile": "takes minutes; test_end_to_end.py runs it",
}
COLLECTED = {"python -m pytest -m proof tests/proofs/test_optim.py": "takes half a minute; CI runs all proofs"}
"""Commands of which only the tests are collected."""


def commands(page: Path) -> list[str]:
    (block,) = (content for language, content in blocks(page.read_text(encoding="utf-8")) if language == "sh")
    return block.splitlines()


def test_every_command_of_a_project_runs(bake_project: Bake) -> None:
    project = bake_project(task="token-classification", include_notebook="yes", include_deploy="yes", editor="both")
    typed = commands(project / "AGENTS.md")
    assert {*NOT_RUN, *COLLECTED} < set(typed)
    for command in typed:
        if command not in NOT_RUN:
            collect = ["--collect-only", "--quiet"] if command in COLLECTED else []
            _, _, module, *arguments = shlex.split(command)
            run(project, module, *arguments, *collect)
    assert (project / "runs/try/evaluation-validation.json").is_file()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_fits_the_answers(bake_project: Bake, language: str) -> None:
    """The project's own test, which compares the page with the files, run configurations and verbs."""
    project = bake_project(task="chat", language=language, project_name="Our Chat")
    page = (project / "AGENTS.md").read_text(encoding="utf-8")
    assert page.startswith("# Our Chat: ")
    (data,) = re.findall(r"data/demo/\S+", page)
    assert (project / data).is_file()
    assert "5 passed" in run(project, "pytest", "-p", "no:cacheprovider", "--quiet", "tests/test_agents.py")


def test_that_of_this_repository_names_existing_files() -> None:
    page = (REPOSITORY / "AGENTS.md").read_text(encoding="utf-8")
    assert len(page.splitlines()) <= 80
    assert (REPOSITORY / "CLAUDE.md").read_text(encoding="utf-8") == "@AGENTS.md\n"
    names = [*re.findall(r"`((?:[\w.-]+/)+[\w.-]*|\w+(?:\.zh-CN)?\.(?:md|py))`", page), *re.findall(r"\S+\.py", page)]
    names += [name.replace(".", "/") for name in re.findall(r"-m (tools\.\w+)`", page)]
    assert len(names) > 8
    assert [name for name in names if not any(REPOSITORY.glob(f"{name.strip('`/')}*"))] == []
    verbs = set(re.findall(r"python3 dev\.py (\w+)", page))
    listed = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert {verb for verb in verbs if f"python3 dev.py {verb} " not in listed} == set()
