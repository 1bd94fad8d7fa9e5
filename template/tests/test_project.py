"""The project as PyCharm opens it: what its run configurations name is there, and nothing belongs to one machine.

PyCharm passes over what it does not understand, without a word. `ft-template check` knows more rules.
"""

import importlib.util
import re
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from conftest import ROOT

from finetune.cli import cli

IDEA = ROOT / ".idea"
CONFIGURATIONS = sorted((IDEA / "runConfigurations").glob("*.xml"))
FACTORIES = {"PythonConfigurationType": "Python", "tests": "py.test", "CompoundRunConfigurationType": None}
"""What PyCharm calls them in its files; `pytest`, for one, it does not know."""


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


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_pycharm_knows_what_it_is(path: Path) -> None:
    found = configuration(path)
    assert found.get("type") in FACTORIES
    assert found.get("factoryName") == FACTORIES[str(found.get("type"))]
    assert [method.get("v") for method in found.findall("method")] == ["2"], "else PyCharm adds tasks of its own"


@pytest.mark.parametrize("path", named("PythonConfigurationType") + named("tests"), ids=lambda path: path.stem)
def test_interpreter_is_that_of_the_module(path: Path) -> None:
    values = options(path)
    assert (values.get("IS_MODULE_SDK"), values.get("SDK_HOME"), values.get("SDK_NAME")) == ("true", "", None)
    assert values.get("RUN_TOOL") == "false", "`uv run` would change the environment before the start"
    assert [module.get("name") for module in configuration(path).findall("module")] == [module_file().stem]


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_paths_are_those_of_every_machine(path: Path) -> None:
    for value in options(path).values():
        for part in value.strip('"').split():
            assert not re.match(r"(/|~/|[A-Za-z]:[\\/]|\$USER_HOME\$)", part.rpartition("=")[2]), (
                f"{part}: use $PROJECT_DIR$"
            )


def test_names_are_given_once() -> None:
    names = [(configuration(path).get("type"), configuration(path).get("name")) for path in CONFIGURATIONS]
    assert len(names) == len(set(names))


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
    files = [value for value in parsed.values() if isinstance(value, Path) and value.name != "latest"]
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


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_what_has_to_run_first_exists(path: Path) -> None:
    names = {(configuration(p).get("type"), configuration(p).get("name")) for p in CONFIGURATIONS}
    for task in configuration(path).iterfind("method/option"):
        assert (task.get("run_configuration_type"), task.get("run_configuration_name")) in names


def module_file() -> Path:
    (module,) = ET.parse(IDEA / "modules.xml").getroot().iter("module")
    return Path(expanded(module.get("filepath", "")))


def test_module_has_the_name_of_the_project_and_its_roots() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module = ET.parse(module_file()).getroot()
    roots = {root.get("url", "").removeprefix("file://$MODULE_DIR$/") for root in module.iter("sourceFolder")}
    excluded = {folder.get("url", "").removeprefix("file://$MODULE_DIR$/") for folder in module.iter("excludeFolder")}
    assert (module_file().stem, module.get("type")) == (project["name"], "PYTHON_MODULE")
    assert roots >= {"src", "tests"}
    assert all((ROOT / root).is_dir() for root in roots)
    assert not excluded & {*roots, "configs", "schemas"}


def test_configs_have_their_schema() -> None:
    for info in ET.parse(IDEA / "jsonSchemas.xml").getroot().iter("SchemaInfo"):
        given = {option.get("name", ""): option.get("value", "") for option in info.iter("option")}
        assert (ROOT / given["relativePathToSchema"]).is_file()
        assert given["mappingKind"] == "Pattern", "else PyCharm looks for a file of this very name"
        assert list(ROOT.glob(given["path"]))
