"""The command lines, folders and variables by which PyCharm starts a configuration, by its published rules."""

import os
import sys
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
from conftest import write_files
from ft_template.check.project.arguments import split
from ft_template.check.project.project import Project
from ft_template.check.run.command import Command, command

MODULES = """<project version="4"><component name="ProjectModuleManager"><modules>
<module fileurl="file://$PROJECT_DIR$/.idea/p.iml" filepath="$PROJECT_DIR$/.idea/p.iml" />
</modules></component></project>"""
IML = """<module type="PYTHON_MODULE" version="4"><component name="NewModuleRootManager">
<content url="file://$MODULE_DIR$"><sourceFolder url="file://$MODULE_DIR$/src" isTestSource="false" />
<sourceFolder url="file://$MODULE_DIR$/tests" isTestSource="true" /></content></component></module>"""


def configuration_xml(kind: str, factory: str, given: dict[str, str], envs: dict[str, str]) -> str:
    options = "".join(f"<option name={quoteattr(name)} value={quoteattr(value)} />" for name, value in given.items())
    variables = "".join(f"<env name={quoteattr(name)} value={quoteattr(value)} />" for name, value in envs.items())
    return (
        '<component name="ProjectRunConfigurationManager">'
        f'<configuration default="false" name="it" type="{kind}" factoryName="{factory}">'
        f"<envs>{variables}</envs>{options}</configuration></component>"
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """In a folder with a blank in its name."""
    folder = tmp_path / "my project"
    env = "A=1\n# B=2\nexport C='3'\n"
    write_files(folder, {".idea/modules.xml": MODULES, ".idea/p.iml": IML, ".env": env})
    return folder


def built(root: Path, *, tests: bool = False, envs: dict[str, str] | None = None, **given: str) -> Command:
    kind, factory = ("tests", "py.test") if tests else ("PythonConfigurationType", "Python")
    file = root / ".idea/runConfigurations/it.xml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(configuration_xml(kind, factory, given, envs or {}), encoding="utf-8")
    project = Project(root)
    return command(project, project.configurations[0], Path(sys.executable))


def test_a_module_with_its_arguments(root: Path) -> None:
    found = built(
        root, MODULE_MODE="true", SCRIPT_NAME="finetune", PARAMETERS='train  "a b"', INTERPRETER_OPTIONS="-X dev"
    )

    assert found.arguments == (sys.executable, "-X", "dev", "-m", "finetune", "train", "a b")
    assert found.folder == root


def test_a_script_whose_path_has_a_blank_is_one_argument(root: Path) -> None:
    found = built(root, SCRIPT_NAME="$PROJECT_DIR$/run.py", WORKING_DIRECTORY="$PROJECT_DIR$/src")

    assert found.arguments == (sys.executable, f"{root.as_posix()}/run.py")
    assert found.folder == root / "src"


def test_a_path_in_the_parameters_falls_apart_at_the_blank(root: Path) -> None:
    found = built(root, SCRIPT_NAME="run.py", PARAMETERS="$PROJECT_DIR$/a.yaml")

    assert len(found.arguments) == 4


def test_roots_come_before_the_parents_path(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "parents")
    roots = [str(root), str(root / "src"), str(root / "tests")]

    def path(**given: str) -> list[str]:
        return built(root, SCRIPT_NAME="x", **given).variables.get("PYTHONPATH", "").split(os.pathsep)

    assert path() == [*roots, "parents"]
    assert path(ADD_CONTENT_ROOTS="false") == [*roots[1:], "parents"]
    assert path(ADD_SOURCE_ROOTS="false") == [roots[0], "parents"]
    assert path(PARENT_ENVS="false") == roots
    own = built(root, SCRIPT_NAME="x", envs={"PYTHONPATH": "own"}).variables["PYTHONPATH"]
    assert own.split(os.pathsep) == ["own", *roots]


def test_later_variables_win(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A", "0")
    monkeypatch.setenv("D", "0")
    given = {"SCRIPT_NAME": "x", "ENV_FILES": "$PROJECT_DIR$/.env"}
    found = built(root, envs={"C": "own", "PYCHARM_HOSTED": "0"}, **given).variables

    assert (found["A"], found["C"], found["D"], "B" in found) == ("1", "own", "0", False)
    assert (found["PYCHARM_HOSTED"], found["PYTHONUNBUFFERED"], found["PYTHONIOENCODING"]) == ("1", "1", "UTF-8")
    assert "D" not in built(root, PARENT_ENVS="false", **given).variables


def test_the_environment_is_activated(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", "another")
    found = built(root, SCRIPT_NAME="x").variables

    assert found["VIRTUAL_ENV"] == sys.prefix
    assert found["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    assert built(root, SCRIPT_NAME="x", envs={"VIRTUAL_ENV": "own"}).variables["VIRTUAL_ENV"] == "own"


@pytest.mark.skipif(os.name == "nt", reason="PyCharm sets no TERM on Windows")
def test_an_emulated_terminal_says_what_it_is(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")

    assert built(root, SCRIPT_NAME="x", EMULATE_TERMINAL="true").variables["TERM"] == "xterm-256color"
    assert built(root, SCRIPT_NAME="x").variables["TERM"] == "dumb"


def test_pytest_by_path(root: Path) -> None:
    found = built(
        root,
        tests=True,
        _new_target='"$PROJECT_DIR$/tests"',
        _new_targetType='"PATH"',
        _new_additionalArguments="\"-m 'not slow' --dist\\u003dno\"",
        _new_keywords='"one or two"',
    )

    target = f"{root.as_posix()}/tests"
    own = ("--no-header", "--no-summary", "-q")
    assert found.arguments[4:] == (target, "-m", "not slow", "--dist=no", "-k", "one or two", *own)
    assert found.folder == root, "the folder of a target that does not exist is that of its parent"
    assert found.variables["PYTEST_RUN_CONFIG"] == "True"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ('""', [""]),
        ("it's a", ["it's", "a"]),
        (r"C:\data\x", [r"C:\data\x"]),
        (r'"a\\"', ['a\\"']),
        (r"\"a b\"", ['"a', 'b"']),
        ('"C:\\x y"', ["C:\\x y"]),
        ("a\n b\tc", ["a", "b", "c"]),
        ("a\u00a0b c\u2003d", ["a\u00a0b", "c", "d"]),
        ("\x01 a", ["a"]),
        ('a"b c"d', ["ab cd"]),
    ],
)
def test_arguments_are_split_as_pycharm_splits_them(text: str, expected: list[str]) -> None:
    assert split(text) == expected


def test_single_quotes_group_only_in_the_arguments_of_tests() -> None:
    assert split("-k 'a b'") == ["-k", "'a", "b'"]
    assert split("-k 'a b' \"it's\"", single_quotes=True) == ["-k", "a b", "it's"]
