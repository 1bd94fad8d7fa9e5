"""The output of `ft-template check`: lines and JSON."""

import json
import re
from pathlib import Path

import pytest
from conftest import Bake, files, write_files
from ft_template.check.check import check
from ft_template.check.project.project import Project
from ft_template.check.rules.all import RULES
from ft_template.check.run.start import in_order
from ft_template.cli import main
from ft_template.create.bake import REPOSITORY

HOSTILE = {
    "project_name": """A & B <"C"> 'D' 日本 🚀""",
    "project_slug": "a-b",
    "description": """& < > " ' \\ $HOME $PROJECT_DIR$""",
    "author": """O'Neil "the" <author>""",
    "base_model": "./my models/bert",
}


def test_a_project_without_fault(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(project)

    assert main(["check", str(project)]) == 0
    assert capsys.readouterr().out == f"{project}: 0 faults ({len(RULES)} rules checked)\n"
    assert files(project) == before


def test_hostile_answers_make_no_fault(bake_project: Bake, tmp_path: Path) -> None:
    folder = tmp_path / "o'neil's %20 täst $HOME$ 日本"
    folder.mkdir()

    assert check(bake_project(folder, editor="both", task="token-classification", **HOSTILE)) == []


def test_a_fault_has_its_place_and_its_remedy(bake_project: Bake, capsys: pytest.CaptureFixture[str]) -> None:
    project = bake_project()
    config = project / "configs/demo.yaml"
    lines = config.read_text(encoding="utf-8").splitlines()
    number = next(number for number, line in enumerate(lines, 1) if line.strip().startswith("epochs:"))
    lines[number - 1] = "  epochs: [many]"
    config.write_text("\n".join(lines), encoding="utf-8")

    assert main(["check", str(project)]) == 1
    shown = capsys.readouterr().out
    assert f"configs/demo.yaml:{number} train.epochs: ['many'] is not" in shown
    assert "→ correct the value" in shown

    assert main(["check", str(project), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    (fault,) = document["faults"]
    assert (document["format"], fault["rule"], fault["severity"]) == (2, "schema.config", "fault")
    assert (fault["file"], fault["line"]) == ("configs/demo.yaml", number)


def test_a_note_is_no_fault(bake_project: Bake, capsys: pytest.CaptureFixture[str]) -> None:
    """PyCharm names its interpreter in the module file of every project that it has opened."""
    project = bake_project()
    (iml,) = (project / ".idea").glob("*.iml")
    text = iml.read_text(encoding="utf-8")
    iml.write_text(text.replace('type="inheritedJdk"', 'type="jdk" jdkName="Python 3.13 (me)"'), encoding="utf-8")
    (project / ".idea/misc.xml").write_text('<project version="4"><component name="X" a="/home/me" /></project>')
    (project / ".idea/workspace.xml").write_text("not even XML")

    assert main(["check", str(project)]) == 0
    assert "0 faults, 1 note" in capsys.readouterr().out


def test_settings_of_the_user_and_of_plugins_are_no_fault(bake_project: Bake) -> None:
    project = bake_project()
    (project / ".git").mkdir()
    mapping = '<mapping directory="" vcs="Git" />'
    settings = {
        "vcs.xml": f'<project version="4"><component name="VcsDirectoryMappings">{mapping}</component></project>',
        "ruff.xml": '<project version="4"><component name="RuffSettings" path="C:\\Tools\\ruff.exe" /></project>',
        "remote-targets.xml": '<project version="4"><component name="Targets" path="/home/me/x" /></project>',
    }
    write_files(project / ".idea", settings)

    assert check(project) == []


OWN = {
    "docker-deploy": """factoryName="dockerfile" server-name="Docker"><deployment type="dockerfile"><settings>
        <option name="containerName" value="api" /><option name="sourceFilePath" value="deploy\\Dockerfile" />
        <option name="volumeBindings"><list><DockerVolumeBindingImpl><option name="hostPath" value="/home/me/data" />
        </DockerVolumeBindingImpl></list></option></settings></deployment><method v="2" />""",
    "js.build_tools.npm": """nameIsGenerated="true"><package-json value="$USER_HOME$/site/package.json" />
        <command value="run" /><scripts><script value="build" /></scripts>
        <node-interpreter value="C:\\node\\node.exe" />
        <envs /><method v="2"><option name="NpmBeforeRunTask" enabled="true" /></method>""",
    "MAKEFILE_TARGET_RUN_CONFIGURATION": """factoryName="Makefile"><makefile filename="$PROJECT_DIR$/Makefile"
        target="all" workingDirectory="" arguments="-j4 &amp;&amp; true"><envs /></makefile><method v="2" />""",
    "GradleRunConfiguration": """factoryName="Gradle"><ExternalSystemSettings><option name="taskNames"><list /></option>
        <option name="vmOptions" /></ExternalSystemSettings>
        <GradleScriptDebugEnabled>true</GradleScriptDebugEnabled>""",
    "ShConfigurationType": """><option name="SCRIPT_TEXT" value="ls | wc" /><option name="INTERPRETER_PATH"
        value="/bin/zsh" /><envs /><method v="2" />""",
}
"""Run configurations of a user by type: the rest of the element, as other plugins write it."""


@pytest.mark.parametrize("folder", [".idea/runConfigurations", ".run"])
def test_own_configurations_of_other_plugins_are_left_to_them(bake_project: Bake, folder: str) -> None:
    project = bake_project()
    for number, (kind, rest) in enumerate(OWN.items()):
        element = f'<configuration default="false" name="Own {number}" type="{kind}" {rest}</configuration>'
        text = f'<component name="ProjectRunConfigurationManager">{element}</component>'
        write_files(project / folder, {f"Own_{number}.run.xml": text})
    both = (project / ".idea/runConfigurations/Train__demo____TensorBoard.xml").read_text(encoding="utf-8")
    both = both.replace('name="Train (demo) + TensorBoard"', 'name="All"')
    both = both.replace("<method", '<toRun name="Own 0" type="docker-deploy" /><method')
    write_files(project / ".idea/runConfigurations", {"All.xml": both})
    found = check(project)

    assert [fault for fault in found if not fault.note] == []
    assert sorted(fault.rule for fault in found) == ["run.shell", *["run.type"] * 4]
    assert "All" in [one.name for one in in_order(Project(project), Path("python"))], "it starts what we know of it"


def test_a_module_file_that_workspace_mode_has_rewritten_passes(bake_project: Bake) -> None:
    """PyCharm's pyproject model marks the module as its own, names the interpreter and writes elements in its order."""
    project = bake_project()
    (iml,) = (project / ".idea").glob("*.iml")
    text = iml.read_text(encoding="utf-8")
    for old, new in (
        ("<module type", '<module external.system.id="pyproject.toml" type'),
        ('type="inheritedJdk"', 'type="jdk" jdkName="uv (my-project)" jdkType="Python SDK"'),
        (
            'isTestSource="false" />',
            'isTestSource="false" /><excludeFolder url="file://$MODULE_DIR$/build" />',
        ),
    ):
        assert old in text
        text = text.replace(old, new)
    iml.write_text(text, encoding="utf-8")
    model = project / ".idea/pyProjectModel.xml"
    model.write_text(
        model.read_text(encoding="utf-8").replace('"usePyprojectToml" value="false"', '"usePyprojectToml" value="true"')
    )
    found = check(project)

    assert {fault.rule for fault in found} == {"module.interpreter-named", "idea.pyproject-model"}
    assert all(fault.note for fault in found)


def test_a_folder_without_project_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}: not a project: ")
    assert main(["check", str(tmp_path / "none")]) == 2


def test_the_page_lists_every_rule() -> None:
    page = (REPOSITORY / "docs" / "pycharm.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if re.match(r"\| `[a-z-]+\.[a-z-]+` \|", line)]

    assert rows == [f"| `{rule.name}` | {rule.remedy.replace('<', '&lt;')} |" for rule in RULES]
