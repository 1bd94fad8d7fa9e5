"""Each rule of `ft-template check` finds the faults that it is for."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from ft_template.check.check import check
from ft_template.check.rules.all import RULES
from ft_template.create.bake import bake
from ft_template.reading import LIMIT

Change = Callable[[Path], None]

IML, MODULES, SCHEMAS = ".idea/my-project.iml", ".idea/modules.xml", ".idea/jsonSchemas.xml"
FOLDER = ".idea/runConfigurations"
TRAIN, TESTS, PREDICT = f"{FOLDER}/Train.xml", f"{FOLDER}/All_tests.xml", f"{FOLDER}/Predict.xml"
BOARD, BOTH, SETUP = (
    f"{FOLDER}/{name}.xml" for name in ("TensorBoard", "Train__demo____TensorBoard", "Install_dependencies")
)
LAUNCH, TASKS, SETTINGS = ".vscode/launch.json", ".vscode/tasks.json", ".vscode/settings.json"
SCHEMA, CONFIG = "schemas/config.schema.json", "configs/demo.yaml"


def write(file: str, text: str) -> Change:
    """The copies share their files with the original by links, so a file is made anew."""

    def change(project: Path) -> None:
        path = project / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text, encoding="utf-8")

    return change


def replace(file: str, old: str, new: str) -> Change:
    def change(project: Path) -> None:
        text = (project / file).read_text(encoding="utf-8")
        assert old in text, f"{file} has no {old}"
        write(file, text.replace(old, new, 1))(project)

    return change


def option(file: str, name: str, value: str | None) -> Change:
    """Give an option another value, or take it out."""

    def change(project: Path) -> None:
        lines = (project / file).read_text(encoding="utf-8").splitlines(keepends=True)
        (number,) = [n for n, line in enumerate(lines) if f'<option name="{name}"' in line]
        lines[number] = "" if value is None else f'    <option name="{name}" value="{value}" />\n'
        write(file, "".join(lines))(project)

    return change


def json_value(file: str, edit: Callable[[dict], object]) -> Change:
    def change(project: Path) -> None:
        document = json.loads((project / file).read_text(encoding="utf-8"))
        edit(document)
        write(file, json.dumps(document))(project)

    return change


def delete(file: str) -> Change:
    return lambda project: (project / file).unlink()


def rename(old: str, new: str) -> Change:
    def change(project: Path) -> None:
        (project / new).parent.mkdir(parents=True, exist_ok=True)
        (project / old).rename(project / new)

    return change


def every(*changes: Change) -> Change:
    def change(project: Path) -> None:
        for one in changes:
            one(project)

    return change


def task_before(kind: str, name: str) -> str:
    task = f'<option name="RunConfigurationTask" run_configuration_name="{name}" run_configuration_type="{kind}" />'
    return f'<method v="2">{task}</method>'


def modules_xml(name: str) -> str:
    path = f"$PROJECT_DIR$/.idea/{name}.iml"
    module = f'<module fileurl="file://{path}" filepath="{path}" />'
    manager = f'<component name="ProjectModuleManager"><modules>{module}</modules></component>'
    return f'<project version="4">{manager}</project>'


METHOD = '<method v="2" />'
PYTHON = "PythonConfigurationType"
MODULE = '<module name="my-project" />'

MUTANTS: list[tuple[str, Change]] = [
    # The files themselves
    ("project.pyproject", delete("pyproject.toml")),
    ("project.pyproject", replace("pyproject.toml", "[project]", "[project")),
    ("project.pyproject", replace("pyproject.toml", 'name = "my-project"', "")),
    ("project.pyproject", write("pyproject.toml", "project = 1\ntool = []\n")),
    ("idea.readable", replace(TRAIN, "</component>", "")),
    ("idea.readable", replace(IML, "<content", "<content &")),
    ("idea.readable", write(SCHEMAS, "")),
    ("idea.readable", write(MODULES, '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><project>&c;</project>')),
    ("idea.readable", replace(MODULES, "UTF-8", "UTF-9")),
    ("idea.component", replace(MODULES, "ProjectModuleManager", "ProjectModulesManager")),
    ("idea.component", replace(SCHEMAS, '<project version="4">', "<project>")),
    ("idea.pyproject-model", option(".idea/pyProjectModel.xml", "usePyprojectToml", "true")),
    ("idea.pyproject-model", replace(".idea/pyProjectModel.xml", "usePyprojectToml", "usePyproject")),
    ("idea.pyproject-model", replace(".idea/pyProjectModel.xml", "showConfiguration", "show")),
    ("idea.macro", option(TRAIN, "WORKING_DIRECTORY", "$PROJECT_DIRECTORY$")),
    ("idea.macro", replace(IML, "$MODULE_DIR$/src", "$ModuleFileDir$/src")),
    ("idea.machine-path", option(SETUP, "SCRIPT_NAME", "/home/me/my-project/setup_env.py")),
    ("idea.machine-path", option(SETUP, "SCRIPT_NAME", "C:/my-project/setup_env.py")),
    ("idea.machine-path", option(TRAIN, "PARAMETERS", "train $USER_HOME$/train.yaml")),
    ("idea.machine-path", option(TRAIN, "PARAMETERS", "train configs/train.yaml run.dir=/data/runs")),
    ("idea.machine-path", option(TRAIN, "WORKING_DIRECTORY", "~/my-project")),
    ("idea.machine-path", option(TESTS, "_new_target", "&quot;/home/me/my-project/tests&quot;")),
    ("idea.machine-path", replace(IML, "file://$MODULE_DIR$/src", "file:///home/me/my-project/src")),
    ("idea.backslash", option(SETUP, "SCRIPT_NAME", r"$PROJECT_DIR$\setup_env.py")),
    ("idea.backslash", option(TESTS, "_new_target", r"&quot;$PROJECT_DIR$\\tests&quot;")),
    ("dictionary.words", replace(".idea/dictionaries/project.xml", "<w>lora</w>", "<w>LoRA</w>")),
    ("dictionary.words", replace(".idea/dictionaries/project.xml", "ProjectDictionaryState", "Dictionary")),
    (
        "vcs.repository",
        write(
            ".idea/vcs.xml",
            '<project version="4"><component name="VcsDirectoryMappings">'
            '<mapping directory="" vcs="Git" /></component></project>',
        ),
    ),
    # The module
    ("modules.file", delete(MODULES)),
    ("modules.file", replace(MODULES, "<module ", "<modul ")),
    ("modules.path", delete(IML)),
    ("modules.path", rename(IML, ".idea/other.iml")),
    ("modules.path", replace(MODULES, 'filepath="$PROJECT_DIR$/.idea/', 'filepath="$PROJECT_DIR$/')),
    (
        "module.name",
        every(rename(IML, ".idea/other.iml"), write(MODULES, modules_xml("other"))),
    ),
    ("module.name", replace("pyproject.toml", 'name = "my-project"', 'name = "renamed"')),
    ("module.type", replace(IML, "PYTHON_MODULE", "WEB_MODULE")),
    ("module.type", replace(IML, 'type="PYTHON_MODULE" ', "")),
    ("module.interpreter", replace(IML, '<orderEntry type="inheritedJdk" />', "")),
    ("module.interpreter", replace(IML, "inheritedJdk", "inheritedSdk")),
    ("module.interpreter-named", replace(IML, 'type="inheritedJdk"', 'type="jdk" jdkName="Python 3.13 (me)"')),
    ("module.sources", replace(IML, '<orderEntry type="sourceFolder" forTests="false" />', "")),
    ("module.content", replace(IML, '<content url="file://$MODULE_DIR$">', '<content url="file://$MODULE_DIR$/src">')),
    ("module.root-exists", replace(IML, "$MODULE_DIR$/src", "$MODULE_DIR$/source")),
    ("module.root-exists", replace(IML, "$MODULE_DIR$/tests", "$MODULE_DIR$/.idea/tests")),
    ("module.source-root", replace(IML, '<sourceFolder url="file://$MODULE_DIR$/src" isTestSource="false" />', "")),
    ("module.source-root", replace(IML, 'src" isTestSource="false"', 'src" isTestSource="true"')),
    ("module.test-root", replace(IML, 'isTestSource="true"', 'isTestSource="false"')),
    ("module.test-root", replace(IML, 'tests" isTestSource="true"', 'tests" isTestSource="True"')),
    ("module.root-excluded", replace(IML, "$MODULE_DIR$/runs", "$MODULE_DIR$/src")),
    (
        "module.root-excluded",
        replace(IML, '<excludeFolder url="file://$MODULE_DIR$/runs"', '<excludeFolder url="file://$MODULE_DIR$"'),
    ),
    ("module.root-excluded", replace(IML, 'pattern="__pycache__"', 'pattern="t*s"')),
    ("module.excluded", replace(IML, '<excludeFolder url="file://$MODULE_DIR$/.venv" />', "")),
    ("module.excluded", replace(IML, "$MODULE_DIR$/runs", "$PROJECT_DIR$/run")),
    ("module.hidden", replace(IML, "$MODULE_DIR$/runs", "$MODULE_DIR$/.run")),
    ("module.hidden", replace(IML, 'pattern="__pycache__"', 'pattern=".*"')),
    ("module.hidden", replace(IML, "$MODULE_DIR$/models", "$MODULE_DIR$/configs")),
    (
        "module.hidden",
        every(rename(TRAIN, ".run/Train.run.xml"), replace(IML, 'pattern="__pycache__"', 'pattern="*.run.xml"')),
    ),
    ("module.test-runner", replace(IML, 'value="py.test"', 'value="Unittests"')),
    ("module.test-runner", replace(IML, "PROJECT_TEST_RUNNER", "PROJECT_RUNNER")),
    ("module.docstrings", replace(IML, 'name="format" value="PLAIN"', 'name="format" value="GOOGLE"')),
    # The form of the run configurations
    ("run.envelope", replace(TRAIN, "ProjectRunConfigurationManager", "RunConfigurationManager")),
    ("run.envelope", replace(TRAIN, '<component name="ProjectRunConfigurationManager">', "<component>")),
    ("run.envelope", write(TRAIN, '<component name="ProjectRunConfigurationManager" />')),
    ("run.envelope", replace(BOTH, "</component>", f'<configuration name="x" type="{PYTHON}" /></component>')),
    ("run.name", replace(TRAIN, 'name="Train" ', "")),
    ("run.name", replace(TRAIN, 'default="false"', 'default="true"')),
    ("run.unique", replace(PREDICT, 'name="Predict"', 'name="Train"')),
    ("run.unique", lambda project: write(".run/T.run.xml", (project / TRAIN).read_text(encoding="utf-8"))(project)),
    ("run.type", replace(TRAIN, PYTHON, "PythonConfiguration")),
    ("run.type", replace(TRAIN, f'type="{PYTHON}" factoryName="Python"', 'type="UvRunConfigurationType"')),
    ("run.factory", replace(TESTS, "py.test", "pytest")),
    ("run.factory", replace(TRAIN, 'factoryName="Python"', 'factoryName="python"')),
    ("run.factory", replace(TRAIN, ' factoryName="Python"', "")),
    (
        "run.factory",
        replace(BOTH, 'type="CompoundRunConfigurationType"', 'type="CompoundRunConfigurationType" factoryName="x"'),
    ),
    ("run.shell", replace(TRAIN, f'type="{PYTHON}" factoryName="Python"', 'type="ShConfigurationType"')),
    ("run.attribute", replace(TRAIN, "folderName=", "folder=")),
    ("run.element", replace(TRAIN, '<option name="PARAMETERS"', '<optoin name="PARAMETERS"')),
    ("run.element", replace(TRAIN, "<env ", "<variable ")),
    ("run.element", replace(TRAIN, "</envs>", '<option name="PARAMETERS" value="doctor" /></envs>')),
    ("run.element", replace(TRAIN, 'name="ENV_FILES" value=', 'name="ENV_FILES" val=')),
    ("run.option", replace(TRAIN, "WORKING_DIRECTORY", "WORKING_DIR")),
    ("run.option", replace(TRAIN, '"ENV_FILES"', '"ENV_FILE"')),
    ("run.option", replace(TESTS, "_new_target", "_new_targets")),
    ("run.option-twice", replace(TRAIN, "INPUT_FILE", "PARAMETERS")),
    ("run.boolean", option(TRAIN, "EMULATE_TERMINAL", "yes")),
    ("run.boolean", option(TRAIN, "MODULE_MODE", "1")),
    ("run.boolean", replace(TRAIN, 'default="false"', 'default="no"')),
    ("run.boolean", option(TRAIN, "PARENT_ENVS", "True")),
    ("run.interpreter", option(TRAIN, "IS_MODULE_SDK", None)),
    ("run.interpreter", option(TESTS, "IS_MODULE_SDK", "false")),
    ("run.interpreter", option(TRAIN, "IS_MODULE_SDK", "")),
    ("run.interpreter-named", option(TRAIN, "SDK_HOME", "$PROJECT_DIR$/.venv/bin/python")),
    ("run.interpreter-named", replace(TRAIN, METHOD, f'<option name="SDK_NAME" value="Python 3.12" />{METHOD}')),
    ("run.run-tool", option(TRAIN, "RUN_TOOL", "true")),
    ("run.run-tool", option(TRAIN, "RUN_TOOL", "")),
    ("run.run-tool", option(TESTS, "RUN_TOOL", None)),
    ("run.module", replace(TRAIN, MODULE, "")),
    ("run.module", replace(TRAIN, MODULE, '<module name="" />')),
    ("run.module", replace(TRAIN, MODULE, '<module name="other" />')),
    ("run.module", every(replace(TRAIN, MODULE, '<module name="other" />'), rename(TRAIN, ".run/Train.run.xml"))),
    ("run.environment", replace(TRAIN, ' value="1"', "")),
    ("run.environment", replace(TRAIN, "</envs>", '<env name="PYTHONUNBUFFERED" value="0" /></envs>')),
    ("run.method", replace(TRAIN, METHOD, "")),
    ("run.method", replace(TRAIN, METHOD, "<method />")),
    ("run.method", replace(TRAIN, METHOD, METHOD * 2)),
    ("run.singleton", replace(TRAIN, ' singleton="true"', "")),
    ("run.singleton", replace(BOARD, 'singleton="true"', 'singleton="false"')),
    ("run.name-generated", replace(TRAIN, 'name="Train"', 'name="Train" nameIsGenerated="true"')),
    ("run.extension", replace(TRAIN, METHOD, f'<EXTENSION ID="net.ashald.envfile" />{METHOD}')),
    ("run.file-name", rename(TRAIN, f"{FOLDER}/Training.xml")),
    ("run.round-trip", option(TRAIN, "REDIRECT_INPUT", None)),
    (
        "run.round-trip",
        every(option(TRAIN, "SDK_HOME", None), replace(TRAIN, METHOD, f'<option name="SDK_HOME" value="" />{METHOD}')),
    ),
    ("run.round-trip", option(TESTS, "_new_keywords", None)),
    # What they start
    ("run.script", option(SETUP, "SCRIPT_NAME", "$PROJECT_DIR$/setup.py")),
    ("run.script", option(SETUP, "SCRIPT_NAME", "setup_env.py")),
    ("run.script", delete("setup_env.py")),
    ("run.script", option(TRAIN, "MODULE_MODE", "false")),
    ("run.script", option(TRAIN, "MODULE_MODE", None)),
    ("run.module-name", option(TRAIN, "SCRIPT_NAME", "finetuning")),
    ("run.module-name", option(TRAIN, "SCRIPT_NAME", "src/finetune")),
    ("run.module-name", option(TRAIN, "SCRIPT_NAME", None)),
    ("run.module-name", delete("src/finetune/__main__.py")),
    ("run.module-name", option(BOARD, "SCRIPT_NAME", "tensorbord.main")),
    ("run.module-name", replace("pyproject.toml", '"tensorboard>=2.16",', "")),
    ("run.module-name", option(SETUP, "MODULE_MODE", "true")),
    ("run.working-directory", option(TRAIN, "WORKING_DIRECTORY", ".")),
    ("run.working-directory", option(TRAIN, "WORKING_DIRECTORY", "$PROJECT_DIR$/work")),
    ("run.working-directory", option(TESTS, "WORKING_DIRECTORY", "tests")),
    ("run.env-file", option(TRAIN, "ENV_FILES", "$PROJECT_DIR$/.env")),
    ("run.env-file", option(TRAIN, "ENV_FILES", "$PROJECT_DIR$/.env.example:$PROJECT_DIR$/README.md")),
    ("run.input-file", option(TRAIN, "REDIRECT_INPUT", "true")),
    ("run.argument-file", option(TRAIN, "PARAMETERS", "train configs/training.yaml")),
    ("run.argument-file", option(TRAIN, "PARAMETERS", "train configs/train.yaml data.train=data/train.jsonl")),
    ("run.argument-file", delete("configs/train.yaml")),
    ("run.argument-file", delete("data/demo/test.jsonl")),
    ("run.argument-file", option(TRAIN, "WORKING_DIRECTORY", "$PROJECT_DIR$/src")),
    # Arguments
    ("arguments.shell", option(TRAIN, "PARAMETERS", "train configs/train.yaml run.name='a b'")),
    ("arguments.shell", option(TRAIN, "PARAMETERS", "train configs/train.yaml run.dir=$HOME/runs")),
    ("arguments.shell", option(TRAIN, "PARAMETERS", "doctor &amp;&amp; train configs/train.yaml")),
    ("arguments.shell", option(TRAIN, "PARAMETERS", "check-data configs/*.yaml")),
    ("arguments.macro", option(TRAIN, "PARAMETERS", "train $PROJECT_DIR$/configs/train.yaml")),
    ("arguments.quotes", option(TRAIN, "PARAMETERS", "train &quot;configs/train.yaml")),
    ("arguments.blanks", option(TRAIN, "PARAMETERS", "train &quot;configs/train.yaml&quot;")),
    ("arguments.blanks", option(TRAIN, "PARAMETERS", "train\u00a0configs/train.yaml")),
    ("arguments.blanks", option(TRAIN, "INTERPRETER_OPTIONS", "-W &quot;error&quot;")),
    # Tests
    ("test.json", option(TESTS, "_new_target", "$PROJECT_DIR$/tests")),
    ("test.json", option(TESTS, "_new_targetType", "&quot;PATH")),
    ("test.json", option(TESTS, "_new_keywords", "1")),
    ("test.target-type", option(TESTS, "_new_targetType", "&quot;FOLDER&quot;")),
    ("test.target-type", option(TESTS, "_new_targetType", "&quot;path&quot;")),
    ("test.target", option(TESTS, "_new_target", "&quot;$PROJECT_DIR$/test&quot;")),
    ("test.target", option(TESTS, "_new_target", "&quot;tests&quot;")),
    ("test.target", option(TESTS, "_new_target", "&quot;&quot;")),
    ("test.target", option(TESTS, "_new_targetType", "&quot;PYTHON&quot;")),
    # What starts others
    ("compound.member", replace(BOTH, 'name="TensorBoard"', 'name="Tensorboard"')),
    ("compound.member", replace(BOTH, f'name="TensorBoard" type="{PYTHON}"', 'name="TensorBoard" type="tests"')),
    ("compound.member", delete(BOARD)),
    ("compound.member", replace(BOARD, 'name="TensorBoard"', 'name="Board"')),
    ("before-launch.task", replace(TRAIN, METHOD, '<method v="2"><option name="ToolBeforeRunTask" /></method>')),
    ("before-launch.target", replace(TRAIN, METHOD, task_before(PYTHON, "Prepare"))),
    ("before-launch.target", replace(TRAIN, METHOD, task_before("tests", "Predict"))),
    ("links.cycle", replace(TRAIN, METHOD, task_before(PYTHON, "Train"))),
    (
        "links.cycle",
        every(
            replace(TRAIN, METHOD, task_before(PYTHON, "Predict")),
            replace(PREDICT, METHOD, task_before(PYTHON, "Train")),
        ),
    ),
    ("links.cycle", replace(BOARD, METHOD, task_before("CompoundRunConfigurationType", "Train (demo) + TensorBoard"))),
    # The schema
    ("schema.mapping", delete(SCHEMAS)),
    (
        "schema.mapping",
        every(*2 * [replace(SCHEMAS, "<SchemaInfo>", "<Info>"), replace(SCHEMAS, "</SchemaInfo>", "</Info>")]),
    ),
    ("schema.file", replace(SCHEMAS, "schemas/config.schema.json", "schemas/schema.json")),
    ("schema.file", delete(SCHEMA)),
    ("schema.version", replace(SCHEMAS, "JSON Schema version 7", "draft-07")),
    ("schema.kind", replace(SCHEMAS, '<option name="mappingKind" value="Pattern" />', "")),
    ("schema.kind", replace(SCHEMAS, 'name="mappingKind" value="Pattern"', 'name="mappingKind" value="File"')),
    ("schema.matches", replace(SCHEMAS, "configs/*.yaml", "config/*.yaml")),
    ("schema.matches", replace(SCHEMAS, "configs/*.yaml", "configs/*.yml")),
    ("schema.valid", write(SCHEMA, "{")),
    ("schema.valid", json_value(SCHEMA, lambda schema: schema.update(type="dictionary"))),
    ("schema.valid", json_value(SCHEMA, lambda schema: schema.pop("$schema"))),
    ("schema.config", replace(CONFIG, "epochs:", "epoch:")),
    ("schema.config", replace(CONFIG, "batch_size: 16", "batch_size: many")),
    ("schema.config", replace(CONFIG, "train:\n", "train: [\n")),
    ("schema.config", write(CONFIG, "")),
    ("schema.modeline", replace(CONFIG, "../schemas/", "schemas/")),
    # git
    ("git.shared", replace(".gitignore", "!/.idea/", "")),
    ("git.shared", replace(".gitignore", ".venv/", ".venv/\n*.yaml")),
    ("git.shared", replace(".idea/.gitignore", "!/jsonSchemas.xml", "")),
    ("git.shared", replace(".idea/.gitignore", "!/runConfigurations/", "")),
    ("git.shared", replace(".idea/.gitignore", "!/*.iml", "")),
    ("git.personal", delete(".idea/.gitignore")),
    ("git.personal", replace(".idea/.gitignore", "/*\n", "/*\n!/workspace.xml\n")),
    ("git.personal", replace(".gitignore", ".env\n", "")),
    ("git.personal", delete(".gitignore")),
    # VS Code
    ("vscode.readable", write(LAUNCH, "{")),
    ("vscode.readable", write(SETTINGS, "")),
    ("vscode.entries", json_value(LAUNCH, lambda launch: launch["configurations"][1].update(args="train"))),
    ("vscode.entries", json_value(LAUNCH, lambda launch: launch.update(configurations={}))),
    ("vscode.entries", json_value(TASKS, lambda tasks: tasks["tasks"][1].pop("label"))),
    ("vscode.program", json_value(LAUNCH, lambda launch: launch["configurations"][1].update(module="finetuning"))),
    ("vscode.program", json_value(TASKS, lambda tasks: tasks["tasks"][1].update(args=["train.py"]))),
    ("vscode.program", delete("setup_env.py")),
    ("vscode.argument-file", replace(LAUNCH, "configs/train.yaml", "configs/training.yaml")),
    ("vscode.argument-file", replace(TASKS, "data/demo/test.jsonl", "data/demo/test.conll")),
    ("vscode.compound", json_value(LAUNCH, lambda launch: launch["compounds"][0].update(configurations=["Board"]))),
    ("vscode.machine-path", replace(LAUNCH, "${workspaceFolder}/setup_env.py", "/home/me/my-project/setup_env.py")),
    ("vscode.machine-path", replace(SETTINGS, '"src"', '"C:/my-project/src"')),
    ("vscode.schema", json_value(SETTINGS, lambda settings: settings.pop("yaml.schemas"))),
    ("vscode.schema", replace(SETTINGS, "schemas/config.schema.json", "schemas/schema.json")),
    ("vscode.schema", replace(SETTINGS, "configs/*.yaml", "config/*.yaml")),
    ("vscode.same", json_value(LAUNCH, lambda launch: launch["configurations"].pop())),
    ("vscode.same", replace(TASKS, "train.max_steps=1", "train.max_steps=2")),
    ("vscode.same", option(TRAIN, "PARAMETERS", "train configs/train.yaml train.seed=1")),
    # What is not read
    ("project.readable", every(delete("pyproject.toml"), lambda project: os.mkfifo(project / "pyproject.toml"))),
    ("project.readable", every(delete(CONFIG), lambda project: (project / CONFIG).symlink_to("/dev/zero"))),
    ("project.readable", every(delete(IML), lambda project: (project / IML).symlink_to("/etc/passwd"))),
    ("project.readable", write(TRAIN, " " * (LIMIT + 1))),
    ("project.readable", every(delete(SCHEMA), lambda project: (project / SCHEMA).write_bytes(b"\xff\xfe{\0}\0"))),
]


@pytest.fixture(scope="module")
def original(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bake(tmp_path_factory.mktemp("original"), {"environment": "none", "editor": "both"}, template=repository)


@pytest.fixture
def project(original: Path, tmp_path: Path) -> Path:
    """A copy of which no file may be written in place: they are links."""
    return Path(shutil.copytree(original, tmp_path / "my-project", copy_function=os.link))


@pytest.mark.parametrize(("rule", "change"), MUTANTS, ids=[f"{rule}-{n}" for n, (rule, _) in enumerate(MUTANTS)])
def test_mutant_is_found(project: Path, rule: str, change: Change) -> None:
    change(project)

    faults = check(project)

    assert rule in {fault.rule for fault in faults}, faults
    assert all(fault.message and fault.remedy for fault in faults)


def test_every_rule_has_a_mutant() -> None:
    names = [rule.name for rule in RULES]

    assert len(names) == len(set(names))
    assert set(names) == {rule for rule, _ in MUTANTS}
