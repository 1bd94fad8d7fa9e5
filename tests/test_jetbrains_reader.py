"""What JetBrains' own code reads out of a project, and how it splits arguments.

The loader that JetBrains' build tools share with the IDE is packaged by Debian, as of 2018.3; tests/jps/ asks it.
"""

import base64
import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ft_template.check.project.arguments import split
from ft_template.create.bake import bake
from test_idea import CONFIGURATIONS, PLAIN_CONSOLE, PYTEST_OPTIONS, PYTHON_OPTIONS

SOURCES = Path(__file__).parent / "jps"
LIBRARIES = ("intellij-jps-model-all", "intellij-util-all", "jdom2-intellij", "libtrove-intellij", "log4j-1.2")
JARS = [Path("/usr/share/java", f"{name}.jar") for name in LIBRARIES]

pytestmark = pytest.mark.skipif(
    not (shutil.which("javac") and all(jar.is_file() for jar in JARS)),
    reason="needs a JDK and Debian's package libintellij-jps-model-java",
)

Json = Any
Ask = Callable[[str, object], Json]

FACTORIES = {"PythonConfigurationType": "Python", "tests": "py.test", "CompoundRunConfigurationType": None}
HOSTILE = "A & B <c> \"d\" 'e' 微调 🚀"
TASKS = ("text-classification", "token-classification", "translation")


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Puts one question to the Java program, which goes on running: a JVM for all of them."""
    classes = tmp_path_factory.mktemp("classes")
    path = os.pathsep.join(map(str, [classes, SOURCES, *JARS]))
    subprocess.run(["javac", "-cp", path, "-d", classes, *SOURCES.glob("*.java")], check=True)
    # Without a locale of its own, Java finds no file with a name beyond ASCII.
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    command = ["java", "-XX:TieredStopAtLevel=1", "-cp", path, "ReadProject"]
    with subprocess.Popen(command, stdin=-1, stdout=-1, env=environment, text=True, encoding="ascii") as java:

        def ask(verb: str, subject: object) -> Json:
            assert java.stdin
            assert java.stdout
            print(verb, base64.b64encode(str(subject).encode()).decode(), file=java.stdin, flush=True)
            answer = java.stdout.readline()
            assert answer, "the Java program has ended: its traceback is in stderr"
            return json.loads(answer)

        yield ask


# --- projects ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[*TASKS, HOSTILE], ids=[*TASKS, "hostile names"])
def project(request: pytest.FixtureRequest, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default answers for some tasks; and once names that XML, paths and Java could stumble over."""
    folder = tmp_path_factory.mktemp("projects")
    if request.param in TASKS:
        return bake(folder, {"environment": "none", "task": request.param}, template=repository)
    texts = dict.fromkeys(("project_name", "description", "author"), request.param)
    answers = {"environment": "none", "project_slug": "My.project_2", **texts}
    return bake(folder, answers, template=repository).rename(folder / HOSTILE)


def slug(project: Path) -> str:
    return "My.project_2" if project.name == HOSTILE else "my-project"


def expanded(options: dict[str, str], project: Path) -> dict[str, str]:
    return {name: value.replace("$PROJECT_DIR$", str(project)) for name, value in options.items()}


def test_module(ask: Ask, project: Path) -> None:
    found = ask("project", project)
    (module,) = found["modules"]
    url = f"file://{project}"

    assert found["name"] == project.name
    assert (module["name"], module["type"]) == (slug(project), "PYTHON_MODULE")
    assert module["content"] == [url]
    assert module["sources"] == [f"{url}/src"]
    assert module["tests"] == [f"{url}/tests"]
    assert {f"{url}/{name}" for name in (".venv", "runs", "models")} <= set(module["excluded"])
    assert not {f"{url}/{name}" for name in (".idea", "configs", "data", "src", "tests")} & set(module["excluded"])
    assert set(module["excluded patterns"]) == {"*.egg-info", "__pycache__"}


def test_interpreter_of_the_project_is_that_of_the_module(ask: Ask, project: Path, tmp_path: Path) -> None:
    """None is named; when PyCharm has chosen one, it writes misc.xml, and the module inherits it."""
    opened = tmp_path / project.name
    shutil.copytree(project, opened)
    chosen = '<component name="ProjectRootManager" project-jdk-name="Python 3.13 (a)" project-jdk-type="Python SDK" />'
    (opened / ".idea/misc.xml").write_text(f'<project version="4">{chosen}</project>')

    assert ask("project", project)["modules"][0]["dependencies"] == ["inherited: none", "sources"]
    assert ask("project", opened)["modules"][0]["dependencies"] == ["inherited: Python 3.13 (a)", "sources"]


def test_run_configurations(ask: Ask, project: Path) -> None:
    found = {each["name"]: each["element"] for each in ask("project", project)["configurations"]}
    # The loader has nothing to show of a type that it was not told.
    assert [name for name, element in found.items() if element is None] == []
    for name, element in found.items():
        given = element["attributes"]
        assert given.pop("name") == name
        assert given.pop("factoryName", None) == FACTORIES[given.pop("type")], name
        assert given.pop("folderName"), name
        assert given == {"default": "false", "singleton": "true"}, name
        assert children(element, "method") == [{"v": "2"}], name
        assert len(children(element, "option")) == len(options(element)), name

    (members,) = (children(element, "toRun") for element in found.values() if children(element, "toRun"))
    assert {member["name"] for member in members} <= set(found)
    assert set(found) == {*CONFIGURATIONS, "All tests", "Proofs", "Train (demo) + TensorBoard"}


def test_options(ask: Ask, project: Path) -> None:
    found = {each["name"]: each["element"] for each in ask("project", project)["configurations"]}
    demo_format = next((project / "data/demo").glob("test.*")).suffix.removeprefix(".")
    for name, (folder, script, parameters) in CONFIGURATIONS.items():
        expected = PYTHON_OPTIONS | {
            "SCRIPT_NAME": script,
            "PARAMETERS": parameters.format(format=demo_format),
            "MODULE_MODE": str("/" not in script).lower(),
            "EMULATE_TERMINAL": str(name not in PLAIN_CONSOLE).lower(),
        }
        assert found[name]["attributes"]["folderName"] == folder
        assert options(found[name]) == expanded(expected, project), name
        assert children(found[name], "module") == [{"name": slug(project)}], name
    assert options(found["All tests"]) == expanded(PYTEST_OPTIONS, project)


def children(element: Json, tag: str) -> list[dict[str, str]]:
    return [child["attributes"] for child in element["children"] if child["tag"] == tag]


def options(element: Json) -> dict[str, str]:
    return {option["name"]: option["value"] for option in children(element, "option")}


# --- arguments --------------------------------------------------------------------------------------------------------

# Each is tried alone, and between and beside words and quotes.
PIECES = [
    *("", " ", '"', '""', "'", "''", "\\", "\\\\", '\\"', "\\'", '\\\\"', '"\\', "\\ ", "|", "$HOME", "*", "~", "&&"),
    *("\t", "\n", "\r\n", "\v", "\f", "\0", "\x01", "\x1b", "\x1c", "\x1d", "\x1e", "\x1f", "\x7f", "\x85"),
    *("\u00a0", "\u1680", "\u180e", "\u2003", "\u2007", "\u200b", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"),
    *("\ufeff", "é", "微", "🚀", "C:\\data\\new", 'C:\\"Program Files"\\x', "it's", 'say "so"', 'a"b"c', "--x=1"),
]
SHAPES = ("{}", "a{}b", "a {} b", '"a{}b"', "'a{}b'", '{}"a b"{}', "{}{}x")
ALPHABET = '"""\'\\\\\\ab \t\n\u00a0\u2028\u3000\x00\x1f\x85é🚀'
RANDOM = 2000


def cases() -> list[str]:
    made = random.Random(0)
    drawn = ("".join(made.choices(ALPHABET, k=made.randint(1, 16))) for _ in range(RANDOM))
    return list(dict.fromkeys([*(shape.replace("{}", piece) for piece in PIECES for shape in SHAPES), *drawn]))


@pytest.mark.parametrize(("verb", "single_quotes"), [("split", False), ("split-single", True)])
def test_arguments_are_split_as_by_pycharm(ask: Ask, verb: str, single_quotes: bool) -> None:
    tried = cases()
    wrong = {text: expected for text in tried if split(text, single_quotes) != (expected := ask(verb, text))}

    assert wrong == {}
    assert len(tried) > RANDOM
