"""The notebook of `include_notebook`: its form, and what its cells show when a kernel runs them."""

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import nbformat
import pytest
from conftest import DATA_FORMAT, IN_BOTH, TASKS, Bake, files
from ft_template.create.bake import bake
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOK = "notebooks/explore.ipynb"
LANGUAGES = ("en", "zh")
CHINESE = re.compile(r"[\u3400-\u9fff]")
QUIET = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "JUPYTER_PLATFORM_DIRS": "1"}

Explored = Callable[[str, str], Path]


@pytest.fixture(scope="module")
def explored(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Explored:
    """Bakes a project with the notebook, for a task and a language; once for each."""

    @cache
    def bake_once(task: str, language: str) -> Path:
        answers = {"environment": "none", "include_notebook": "yes", "task": task, "language": language}
        return bake(tmp_path_factory.mktemp("explored"), answers, template=repository)

    return bake_once


def read(project: Path) -> NotebookNode:
    return nbformat.read(project / NOTEBOOK, as_version=4)


# ----------------------------------------------------------------------------------------------------------------- form


def test_exactly_this_comes_with_the_answer(explored: Explored, bake_project: Bake) -> None:
    chosen, plain = files(explored("ranking", "en")), files(bake_project(task="ranking"))
    assert set(chosen) - set(plain) == {NOTEBOOK}
    changed = {name for name, content in plain.items() if chosen[name] != content}
    assert changed == {".ft-template.json", "README.md", "constraints.txt", "pyproject.toml"}
    for name in changed - {".ft-template.json"}:
        assert not re.search(rb"(?i)notebook|jupyter|ipykernel|\{%", plain[name]), name
    assert json.loads(chosen[".ft-template.json"])["default_context"]["include_notebook"] is True


def test_the_readme_of_a_chinese_project_names_it(explored: Explored, bake_project: Bake) -> None:
    name = "README.zh-CN.md"
    assert NOTEBOOK in (explored("ranking", "zh") / name).read_text("utf-8")
    assert "notebook" not in (bake_project(task="ranking", language="zh") / name).read_text("utf-8")


def test_vs_code_recommends_its_extension_only_with_it(bake_project: Bake, tmp_path: Path) -> None:
    for answer, wanted in (("yes", True), ("no", False)):
        (tmp_path / answer).mkdir()
        project = bake_project(tmp_path / answer, editor="both", include_notebook=answer)
        recommended = json.loads((project / ".vscode/extensions.json").read_text("utf-8"))["recommendations"]
        assert ("ms-toolsai.jupyter" in recommended) == wanted
        assert "charliermarsh.ruff" in recommended


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("task", TASKS)
def test_it_is_as_jupyter_writes_it_and_was_never_run(task: str, language: str, explored: Explored) -> None:
    text = (explored(task, language) / NOTEBOOK).read_text("utf-8")
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert nbformat.writes(notebook) + "\n" == text
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    for cell in notebook.cells:
        assert not cell.metadata
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)
    assert not re.search(r"/home/|/Users/|/root|/tmp|[A-Z]:\\", text)
    assert "{{" not in text
    assert "{%" not in text


@pytest.mark.parametrize("task", TASKS)
def test_its_words_are_of_the_language_of_the_project(task: str, explored: Explored) -> None:
    english, chinese = (read(explored(task, language)) for language in LANGUAGES)
    assert [cell.id for cell in english.cells] == [cell.id for cell in chinese.cells]
    assert not CHINESE.search(str(english))
    assert all(CHINESE.search(cell.source) for cell in chinese.cells if cell.cell_type == "markdown")
    for cell in english.cells:
        assert len(cell.source) < 1200, "a cell is short"


def test_it_passes_the_linter_of_the_project(explored: Explored, tmp_path: Path) -> None:
    projects = [explored(*one) for one in itertools.product(TASKS, LANGUAGES)]
    for command in (["check"], ["format", "--check"]):
        checked = [sys.executable, "-m", "ruff", *command, *(project / "notebooks" for project in projects)]
        done = subprocess.run(checked, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    unused = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import os")])
    nbformat.write(unused, tmp_path / "unused.ipynb")
    command = [sys.executable, "-m", "ruff", "check", tmp_path]
    assert "F401" in subprocess.run(command, capture_output=True, text=True, check=False).stdout


def test_its_links_lead_to_files(explored: Explored) -> None:
    for language in LANGUAGES:
        project = explored("text-classification", language)
        links = re.findall(r"\]\(([^)]+)\)", "".join(cell.source for cell in read(project).cells))
        assert links
        for link in links:
            place = (project / "notebooks" / link).resolve().relative_to(project.resolve())
            assert place.parts[0] == "runs" or (project / place).is_file()  # what a training writes is not there yet


# ------------------------------------------------------------------------------------------------------- what it shows


def execute(project: Path, folder: str, monkeypatch: pytest.MonkeyPatch, notebook: NotebookNode) -> NotebookNode:
    """Run all cells in a kernel that starts in this folder of the project; with one thread and without network."""
    for name, value in {**QUIET, "PYTHONPATH": str(project / "src")}.items():
        monkeypatch.setenv(name, value)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(project / folder)}}
    ).execute()
    return notebook


def check_cells(task: str, language: str, folder: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = project / "configs/demo.yaml"
    few_steps, replaced = re.subn(r"epochs: \d+", "max_steps: 20", config.read_text("utf-8"))
    assert replaced == 1
    config.write_text(few_steps, encoding="utf-8")
    before = (project / NOTEBOOK).read_bytes()
    cells = {cell.id: cell for cell in execute(project, folder, monkeypatch, read(project)).cells}
    assert (project / NOTEBOOK).read_bytes() == before
    outputs = {name: cell.outputs for name, cell in cells.items() if cell.cell_type == "code"}
    printed = {
        name: "".join(output.text for output in found if output.output_type == "stream" and output.name == "stdout")
        for name, found in outputs.items()
    }
    for name, found in outputs.items():
        assert not [output for output in found if output.get("name") == "stderr"], name

    validation = f"data/demo/validation.{DATA_FORMAT[task] if language == 'en' else 'jsonl'}"
    assert outputs["setup"] == []
    assert "tokens: median" in printed["data-report"]
    assert "<svg" in outputs["data-report"][-1].data["image/svg+xml"]
    assert "best so far" in printed["train"]
    assert f"of {validation}" in printed["train"]
    assert len(printed["train"].splitlines()) < 150
    curves = [output.data["image/svg+xml"] for output in outputs["learning-curves"]]
    assert len(curves) == 3
    assert ("损失" if language == "zh" else "Loss") in curves[0]
    [predictions], [errors] = outputs["predictions"], outputs["confident-errors"]
    rows = len(re.findall(r'^    \{"', cells["predictions"].source, re.MULTILINE))
    assert predictions.data["text/html"].count("<tr>") == 1 + rows >= 3
    assert errors.data["text/html"].count("<tr>") == 1 + 5
    places = re.findall(rf">{re.escape(validation)}:(\d+)</td>", errors.data["text/html"])
    assert len(places) == 5
    assert (project / "runs/demo/report/index.html").is_file()
    assert [path.name for path in (project / "notebooks").iterdir()] == ["explore.ipynb"]


@pytest.mark.parametrize("task", TASKS)
def test_its_cells_run(task: str, bake_project: Bake, monkeypatch: pytest.MonkeyPatch) -> None:
    """In Chinese where the demo data are; PyCharm may start a kernel in the folder of the project, too."""
    language, folder = "zh" if task in IN_BOTH else "en", "." if task == "ranking" else "notebooks"
    project = bake_project(task=task, language=language, include_notebook="yes")
    check_cells(task, language, folder, project, monkeypatch)


def test_a_mistake_of_the_user_is_one_sentence(explored: Explored, monkeypatch: pytest.MonkeyPatch) -> None:
    project = explored("text-classification", "en")
    notebook = read(project)
    notebook.cells = [cell for cell in notebook.cells if cell.id == "setup"]
    [setup] = notebook.cells
    setup.source = setup.source.replace("train.log_every=50", "train.epoch=2")
    setup.metadata.tags = ["raises-exception"]
    [error] = execute(project, "notebooks", monkeypatch, notebook).cells[0].outputs
    assert error.ename == "UserError"
    [line] = error.traceback
    assert line.startswith("error: ")
    assert "did you mean 'epochs'?" in line
