"""What VS Code starts is what PyCharm starts."""

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from conftest import Bake, files
from ft_template.create.bake import REPOSITORY, bake

from tools.vscode import FILE_NAME, text, vscode_files

NAMES = {"extensions.json", "launch.json", "settings.json", "tasks.json"}


@pytest.fixture(scope="module")
def both(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    answers = {"environment": "none", "editor": "both", "task": "token-classification"}
    return bake(tmp_path_factory.mktemp("both"), answers, template=repository)


def read(project: Path, name: str) -> Any:
    return json.loads((project / ".vscode" / name).read_text(encoding="utf-8"))


def command_lines(project: Path) -> dict[str, str]:
    """What PyCharm runs, by the name of the configuration, as text."""
    found = {}
    for path in (project / ".idea/runConfigurations").iterdir():
        configuration = ElementTree.parse(path).getroot()[0]
        given = {option.attrib["name"]: option.attrib["value"] for option in configuration.iter("option")}
        if configuration.attrib["type"] == "tests":
            found[configuration.attrib["name"]] = f"-m pytest tests {given['_new_additionalArguments'][1:-1]}"
        elif configuration.attrib["type"] == "PythonConfigurationType":
            module = "-m " if given["MODULE_MODE"] == "true" else ""
            found[configuration.attrib["name"]] = f"{module}{given['SCRIPT_NAME']} {given['PARAMETERS']}".strip()
    return found


def test_the_files_of_the_template_are_in_step_with_those_of_pycharm() -> None:
    for name, content in vscode_files().items():
        written = (REPOSITORY / "template/.vscode" / FILE_NAME.format(name)).read_text(encoding="utf-8")
        assert written == text(content), "run `python -m tools.vscode`"


def test_only_who_asks_gets_them(both: Path, bake_project: Bake) -> None:
    assert {path.name for path in (both / ".vscode").iterdir()} == NAMES
    assert not (bake_project() / ".vscode").exists()


def test_all_else_is_the_same(both: Path, bake_project: Bake) -> None:
    with_both, without = files(both), files(bake_project(task="token-classification"))
    del with_both[".ft-template.json"], without[".ft-template.json"]  # the answer itself

    assert {name: content for name, content in with_both.items() if not name.startswith(".vscode/")} == without


def test_launch_entries_and_tasks_start_what_pycharm_starts(both: Path) -> None:
    launches = {entry["name"]: entry for entry in read(both, "launch.json")["configurations"]}
    tasks = {entry["label"]: entry for entry in read(both, "tasks.json")["tasks"]}
    expected = {name: line.replace("$PROJECT_DIR$", "${workspaceFolder}") for name, line in command_lines(both).items()}

    launched = {
        name: " ".join([f"-m {entry['module']}" if "module" in entry else entry["program"], *entry["args"]])
        for name, entry in launches.items()
    }
    assert launched == expected
    assert {name: " ".join(entry["args"]) for name, entry in tasks.items()} == expected
    assert all(entry["cwd"] == "${workspaceFolder}" for entry in launches.values())


def test_compound_starts_what_exists(both: Path) -> None:
    launch = read(both, "launch.json")
    (compound,) = launch["compounds"]

    assert compound["name"] == "Train (demo) + TensorBoard"
    assert set(compound["configurations"]) == {"Train (demo)", "TensorBoard"}
    assert set(compound["configurations"]) <= {entry["name"] for entry in launch["configurations"]}


def test_configs_are_completed_by_the_same_schema(both: Path) -> None:
    assert read(both, "settings.json")["yaml.schemas"] == {
        "schemas/config.schema.json": "configs/*.yaml",
        "schemas/sweep.schema.json": "sweeps/*.yaml",
    }


def test_nothing_belongs_to_one_machine(both: Path) -> None:
    for path in (both / ".vscode").iterdir():
        content = path.read_text(encoding="utf-8")
        assert "{{" not in content
        assert not re.search(r'"(/|~|[A-Za-z]:[\\/])', content), path.name
        assert "python.defaultInterpreterPath" not in content
