"""The project as PyCharm opens it: what its run configurations name is there."""

import importlib.util
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from conftest import ROOT

from finetune.cli import cli

CONFIGURATIONS = sorted((ROOT / ".idea" / "runConfigurations").glob("*.xml"))


def configuration(path: Path) -> ET.Element:
    element = ET.parse(path).getroot().find("configuration")
    assert element is not None
    return element


def options(path: Path) -> dict[str, str]:
    return {option.get("name", ""): option.get("value", "") for option in configuration(path).findall("option")}


def expanded(value: str) -> str:
    return value.replace("$PROJECT_DIR$", str(ROOT))


def named(kind: str) -> list[Path]:
    return [path for path in CONFIGURATIONS if configuration(path).get("type") == kind]


pytestmark = pytest.mark.skipif(not CONFIGURATIONS, reason="this project has no .idea/runConfigurations")


@pytest.mark.parametrize("path", named("PythonConfigurationType"), ids=lambda path: path.stem)
def test_script_or_module_exists(path: Path) -> None:
    values = options(path)
    assert Path(expanded(values["WORKING_DIRECTORY"])) == ROOT
    if values["MODULE_MODE"] == "true":
        assert importlib.util.find_spec(values["SCRIPT_NAME"])
    else:
        assert Path(expanded(values["SCRIPT_NAME"])).is_file()


@pytest.mark.parametrize("path", named("PythonConfigurationType"), ids=lambda path: path.stem)
def test_arguments_are_understood_and_name_existing_files(path: Path) -> None:
    values = options(path)
    arguments = values["PARAMETERS"].split()
    if values["SCRIPT_NAME"] != "finetune":
        return
    verb = cli.commands[arguments[0]]
    parsed = verb.make_context(arguments[0], arguments[1:]).params
    files = [value for value in parsed.values() if isinstance(value, Path)]
    assert all((ROOT / file).is_file() for file in files)
    assert not [override for override in parsed.get("overrides", ()) if "=" not in override]


@pytest.mark.parametrize("path", named("tests"), ids=lambda path: path.stem)
def test_tests_exist(path: Path) -> None:
    assert Path(expanded(options(path)["_new_target"].strip('"'))).is_dir()


@pytest.mark.parametrize("path", named("CompoundRunConfigurationType"), ids=lambda path: path.stem)
def test_compound_names_existing_configurations(path: Path) -> None:
    names = {(configuration(p).get("type"), configuration(p).get("name")) for p in CONFIGURATIONS}
    members = {(member.get("type"), member.get("name")) for member in configuration(path).findall("toRun")}
    assert members
    assert members <= names
