"""The IDE files by the rules with which PyCharm reads them; what PyCharm ignores or misreads in silence fails here."""

import json
import re
import shutil
import subprocess
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from xml.etree.ElementTree import Element

import jsonschema
import pytest
import yaml
from conftest import Bake, files
from ft_template.bake import REPOSITORY

COMMON_OPTIONS = {
    "ENV_FILES": "",
    "INTERPRETER_OPTIONS": "",
    "PARENT_ENVS": "true",
    "SDK_HOME": "",
    "WORKING_DIRECTORY": "$PROJECT_DIR$",
    # The module's interpreter: absent would mean false, and then no interpreter at all.
    "IS_MODULE_SDK": "true",
    "ADD_CONTENT_ROOTS": "true",
    "ADD_SOURCE_ROOTS": "true",
    # Never through `uv run`, which would change the environment before each start.
    "RUN_TOOL": "false",
}
PYTHON_OPTIONS = COMMON_OPTIONS | {
    "DEBUG_JUST_MY_CODE": "false",
    "SHOW_COMMAND_LINE": "false",
    "REDIRECT_INPUT": "false",
    "INPUT_FILE": "",
}
PYTEST_OPTIONS = COMMON_OPTIONS | {
    "_new_keywords": '""',
    "_new_parameters": '""',
    "_new_additionalArguments": '"-n auto --maxprocesses 4 --dist loadfile"',
    "_new_target": '"$PROJECT_DIR$/tests"',
    "_new_targetType": '"PATH"',
}
FACTORIES = {"PythonConfigurationType": "Python", "tests": "py.test", "CompoundRunConfigurationType": None}

# name: (folder, script, arguments)
CONFIGURATIONS = {
    "Install dependencies": ("Setup", "$PROJECT_DIR$/setup_env.py", ""),
    "Download base model": ("Setup", "finetune", "fetch --config configs/train.yaml"),
    "Doctor": ("Setup", "finetune", "doctor"),
    "Check data": ("Training", "finetune", "check-data configs/train.yaml"),
    "Train (demo)": ("Training", "finetune", "train configs/demo.yaml"),
    "Train": ("Training", "finetune", "train configs/train.yaml"),
    "Resume": ("Training", "finetune", "train configs/train.yaml --resume"),
    "Debug one batch": (
        "Training",
        "finetune",
        "train configs/demo.yaml train.max_steps=1 train.batch_size=4 run.name=one-batch run.dir=runs/debug",
    ),
    "TensorBoard": ("Training", "tensorboard.main", "--logdir runs"),
    "Evaluate": ("Evaluation", "finetune", "evaluate latest"),
    "Predict": ("Evaluation", "finetune", "predict latest data/demo/test.{format}"),
}
# A debugger needs the plain console, a server shows no progress; all others draw progress bars.
PLAIN_CONSOLE = {"Debug one batch", "TensorBoard"}


@pytest.fixture
def configurations(project: Path) -> dict[str, Element]:
    """Every run configuration by its name."""
    found: dict[str, Element] = {}
    for path in sorted((project / ".idea/runConfigurations").iterdir()):
        root = ElementTree.parse(path).getroot()
        assert (root.tag, root.attrib) == ("component", {"name": "ProjectRunConfigurationManager"}), path.name
        (configuration,) = root  # PyCharm reads the first one of a file and ignores others
        name = configuration.attrib["name"]
        assert name not in found
        assert path.stem == re.sub(r"\W", "_", name), "PyCharm would write it to a file of this name"
        found[name] = configuration
    return found


def options(configuration: Element) -> dict[str, str]:
    found = [(option.attrib["name"], option.attrib["value"]) for option in configuration.findall("option")]
    assert len(found) == len(dict(found))
    return dict(found)


def of_type(configurations: dict[str, Element], type_id: str) -> Iterator[Element]:
    return (configuration for configuration in configurations.values() if configuration.attrib["type"] == type_id)


def test_sample_is_what_the_default_answers_give(bake_project: Bake) -> None:
    assert files(REPOSITORY / ".idea-sample") == files(bake_project() / ".idea"), "python -m ft_template.sample"


def test_configurations_are_of_known_types_and_complete(configurations: dict[str, Element]) -> None:
    for name, configuration in configurations.items():
        attributes = dict(configuration.attrib)
        assert attributes.pop("factoryName", None) == FACTORIES[attributes.pop("type")], name
        assert set(attributes) == {"default", "name", "folderName", "singleton"}, name
        assert attributes["default"] == "false"
        assert attributes["singleton"] == "true", "a second start would write into the same run"
        (method,) = configuration.findall("method")
        assert method.attrib == {"v": "2"}, "without it PyCharm adds the steps of its own template"


def test_configurations_belong_to_the_one_module(project: Path, configurations: dict[str, Element]) -> None:
    slug = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    (iml,) = (project / ".idea").glob("*.iml")
    named = {
        module.attrib["name"] for configuration in configurations.values() for module in configuration.iter("module")
    }

    assert named == {slug}
    assert iml.stem == slug


def test_python_configurations(project: Path, configurations: dict[str, Element]) -> None:
    data_format = next((project / "data/demo").glob("test.*")).suffix.removeprefix(".")
    found = {}
    for configuration in of_type(configurations, "PythonConfigurationType"):
        name, given = configuration.attrib["name"], options(configuration)
        script, arguments = given.pop("SCRIPT_NAME"), given.pop("PARAMETERS")
        assert given.pop("MODULE_MODE") == str("/" not in script).lower(), name
        assert given.pop("EMULATE_TERMINAL") == str(name not in PLAIN_CONSOLE).lower(), name
        assert given == PYTHON_OPTIONS, name
        assert [dict(env.attrib) for env in configuration.iter("env")] == [{"name": "PYTHONUNBUFFERED", "value": "1"}]
        found[name] = (configuration.attrib["folderName"], script, arguments)

    expected = {
        name: (folder, script, arguments.format(format=data_format))
        for name, (folder, script, arguments) in CONFIGURATIONS.items()
    }
    assert found == expected


def test_arguments_mean_the_same_to_every_splitter(configurations: dict[str, Element]) -> None:
    """PyCharm, a shell and shlex differ in quotes and backslashes, so there are none."""
    for configuration in of_type(configurations, "PythonConfigurationType"):
        assert re.fullmatch(r"[\w./= -]*", options(configuration)["PARAMETERS"])


def test_everything_that_is_started_exists(project: Path, configurations: dict[str, Element]) -> None:
    for configuration in of_type(configurations, "PythonConfigurationType"):
        given = options(configuration)
        script = given["SCRIPT_NAME"]
        if script.startswith("$PROJECT_DIR$/"):
            assert (project / script.removeprefix("$PROJECT_DIR$/")).is_file()
        elif script == "finetune":
            assert (project / "src/finetune/__main__.py").is_file()
        else:
            assert find_spec(script)
        for argument in given["PARAMETERS"].split():
            assert "/" not in argument or "=" in argument or (project / argument).is_file(), argument


def test_pytest_configuration(project: Path, configurations: dict[str, Element]) -> None:
    (tests,) = of_type(configurations, "tests")

    assert options(tests) == PYTEST_OPTIONS
    assert (tests.attrib["name"], tests.attrib["folderName"]) == ("All tests", "Tests")
    assert (project / "tests").is_dir()


def test_compound_starts_what_exists(configurations: dict[str, Element]) -> None:
    (compound,) = of_type(configurations, "CompoundRunConfigurationType")
    members = {member.attrib["name"]: member.attrib["type"] for member in compound.findall("toRun")}

    assert compound.attrib["name"] == "Train (demo) + TensorBoard"
    assert members == {"Train (demo)": "PythonConfigurationType", "TensorBoard": "PythonConfigurationType"}
    assert members.keys() <= configurations.keys()


def test_nothing_belongs_to_one_machine(project: Path) -> None:
    for path in (project / ".idea").rglob("*.[ix]ml"):
        text = path.read_text(encoding="utf-8")
        for word in ("USER_HOME", "SDK_NAME", "jdkName", "project-jdk", "EXTENSION", "nameIsGenerated", "\\"):
            assert word not in text, f"{path.name}: {word}"
        assert not re.search(r'value="(/|[A-Za-z]:)', text), path.name
        assert set(re.findall(r"\$\w+\$", text)) <= {"$PROJECT_DIR$", "$MODULE_DIR$"}, path.name


def test_module_has_its_roots(project: Path) -> None:
    (iml,) = (project / ".idea").glob("*.iml")
    module = ElementTree.parse(iml).getroot()
    prefix = "file://$MODULE_DIR$/"
    sources = {
        root.attrib["url"].removeprefix(prefix): root.attrib["isTestSource"] for root in module.iter("sourceFolder")
    }
    excluded = {folder.attrib["url"].removeprefix(prefix) for folder in module.iter("excludeFolder")}

    assert module.attrib["type"] == "PYTHON_MODULE"
    assert [entry.attrib["type"] for entry in module.iter("orderEntry")] == ["inheritedJdk", "sourceFolder"]
    assert sources == {"src": "false", "tests": "true"}
    assert all((project / folder).is_dir() for folder in sources)
    assert {".venv", "runs", "models"} <= excluded
    assert not excluded & {".idea", "configs", "data", "schemas", *sources}


def test_modules_file_names_the_module(project: Path) -> None:
    (module,) = ElementTree.parse(project / ".idea/modules.xml").getroot().iter("module")
    path = module.attrib["filepath"].removeprefix("$PROJECT_DIR$/")

    assert module.attrib["fileurl"] == f"file://{module.attrib['filepath']}"
    assert (project / path).is_file()


def test_schema_is_mapped_to_the_configs_and_accepts_them(project: Path) -> None:
    mapping = ElementTree.parse(project / ".idea/jsonSchemas.xml").getroot()
    given = {option.attrib["name"]: option.attrib.get("value", "") for option in mapping.iter("option")}
    # A pattern that is not said to be one is taken for the name of a file, and matches nothing.
    assert given["mappingKind"] == "Pattern"
    assert given["schemaVersion"] == "JSON Schema version 7"

    schema = json.loads((project / given["relativePathToSchema"]).read_text(encoding="utf-8"))
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    configs = sorted(project.glob(given["path"]))
    assert {config.name for config in configs} >= {"demo.yaml", "train.yaml"}
    for config in configs:
        jsonschema.validate(yaml.safe_load(config.read_text(encoding="utf-8")), schema, jsonschema.Draft7Validator)


def test_git_takes_the_shared_files_and_leaves_the_personal_ones(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a user who ignores .idea everywhere, as many do."""
    clone = tmp_path / "project"
    shutil.copytree(project, clone)
    outputs = ("runs/demo/config.json", "models/org--name/config.json", "models/.org--name.part/config.json")
    for personal in (".idea/workspace.xml", ".idea/shelf/x.patch", ".venv/pyvenv.cfg", ".env", *outputs):
        (clone / personal).parent.mkdir(parents=True, exist_ok=True)
        (clone / personal).touch()
    (tmp_path / "ignore").write_text(".idea/\n")
    (tmp_path / "gitconfig").write_text(f"[core]\n  excludesFile = {(tmp_path / 'ignore').as_posix()}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    subprocess.run(["git", "init", "--quiet"], cwd=clone, check=True)
    listing = subprocess.check_output(["git", "ls-files", "-z", "--others", "--exclude-standard"], cwd=clone, text=True)

    assert set(filter(None, listing.split("\0"))) == set(files(project))
