"""What the IDE files hold, to the last argument; that PyCharm can read it, test_check.py asks `ft-template check`."""

import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

import pytest
from conftest import Bake, files
from ft_template.create.bake import REPOSITORY

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

# name: (folder, script, arguments)
CONFIGURATIONS = {
    "Install dependencies": ("Setup", "$PROJECT_DIR$/setup_env.py", ""),
    "Download base model": ("Setup", "finetune", "fetch --config configs/train.yaml"),
    "Doctor": ("Setup", "finetune", "doctor"),
    "Check data": ("Training", "finetune", "check-data configs/train.yaml"),
    "Train (demo)": ("Training", "finetune", "train configs/demo.yaml"),
    "Train": ("Training", "finetune", "train configs/train.yaml"),
    "Train (2 processes)": (
        "Training",
        "torch.distributed.run",
        "--standalone --nproc-per-node 2 -m finetune train configs/demo.yaml train.device=cpu run.name=two-processes",
    ),
    "Resume": ("Training", "finetune", "train latest --resume"),
    "Debug one batch": (
        "Training",
        "finetune",
        "train configs/demo.yaml train.max_steps=1 train.batch_size=4 run.name=one-batch run.dir=runs/debug",
    ),
    "Sweep": ("Training", "finetune", "sweep sweeps/demo.yaml"),
    "TensorBoard": ("Training", "tensorboard.main", "--logdir runs"),
    "Evaluate": ("Evaluation", "finetune", "evaluate latest"),
    "Compare last two runs": ("Evaluation", "finetune", "compare"),
    "Predict": ("Evaluation", "finetune", "predict latest data/demo/test.{format}"),
    "Errors": ("Evaluation", "finetune", "errors latest"),
    "Explain": ("Evaluation", "finetune", "explain latest --split validation"),
    "Serve": ("Serving", "finetune", "serve latest --open"),
}
# Of projects of the task retrieval
RETRIEVAL = {
    "Search": ("Use", "finetune", "search runs/demo data/customer-service/corpus.jsonl --input data/demo/test.jsonl"),
    "Mine hard negatives": (
        "Data",
        "finetune",
        "mine runs/demo data/demo/train.jsonl --first 1 --last 20 --count 1",
    ),
    "Customer service": ("Training", "finetune", "pipeline pipelines/customer-service.yaml"),
}
# A debugger needs the plain console, a server shows no progress; all others draw progress bars.
PLAIN_CONSOLE = {"Debug one batch", "Serve", "TensorBoard"}


@pytest.fixture
def configurations(project: Path) -> dict[str, Element]:
    """Every run configuration by its name."""
    roots = [ElementTree.parse(path).getroot() for path in (project / ".idea/runConfigurations").iterdir()]
    return {root[0].attrib["name"]: root[0] for root in roots}


def options(configuration: Element) -> dict[str, str]:
    return {option.attrib["name"]: option.attrib["value"] for option in configuration.findall("option")}


def of_type(configurations: dict[str, Element], type_id: str) -> Iterator[Element]:
    return (configuration for configuration in configurations.values() if configuration.attrib["type"] == type_id)


def test_sample_is_what_the_default_answers_give(bake_project: Bake) -> None:
    assert files(REPOSITORY / ".idea-sample") == files(bake_project() / ".idea"), "python -m tools.idea_sample"


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

    wanted = CONFIGURATIONS | (RETRIEVAL if (project / "pipelines").is_dir() else {})
    expected = {
        name: (folder, script, arguments.format(format=data_format))
        for name, (folder, script, arguments) in wanted.items()
    }
    assert found == expected


def test_pytest_configuration(configurations: dict[str, Element]) -> None:
    proofs = {"_new_additionalArguments": '"-m proof -n auto --maxprocesses 4 --dist loadfile"'}
    found = {tests.attrib["name"]: options(tests) for tests in of_type(configurations, "tests")}

    assert found == {"All tests": PYTEST_OPTIONS, "Proofs": PYTEST_OPTIONS | proofs}
    assert {tests.attrib["folderName"] for tests in of_type(configurations, "tests")} == {"Tests"}


def test_compound(configurations: dict[str, Element]) -> None:
    (compound,) = of_type(configurations, "CompoundRunConfigurationType")
    members = {member.attrib["name"]: member.attrib["type"] for member in compound.findall("toRun")}

    assert compound.attrib["name"] == "Train (demo) + TensorBoard"
    assert members == {"Train (demo)": "PythonConfigurationType", "TensorBoard": "PythonConfigurationType"}


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
