"""Generate ``template/.vscode`` from ``template/.idea``: the same launches, completion and spelling in both editors.

Each of PyCharm's run configurations becomes a launch entry (run or debug) and a task.

Usage: python -m tools.vscode
"""

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

TEMPLATE = Path(__file__).resolve().parents[1] / "template"
FILE_NAME = "{{% if cookiecutter.editor == 'both' %}}{}{{% endif %}}"
"""Cookiecutter skips a file whose name renders to an empty string."""

NOTEBOOK = """{{ '",\n    "ms-toolsai.jupyter' if cookiecutter.include_notebook else '' }}"""
"""Ends a string and begins another: Jinja reads the escapes that JSON writes."""
EXTENSIONS = ["ms-python.python", "ms-python.debugpy", "redhat.vscode-yaml", f"charliermarsh.ruff{NOTEBOOK}"]
CONDITIONAL = re.compile(r"\{% if (?P<condition>.+?) %\}(?P<name>.+)\{% endif %\}")
"""Name of a run configuration that only some answers have."""
CONDITION = "jinja"
"""Key of an entry that only some answers have; `text` makes Jinja of it."""
RETRIEVAL = "cookiecutter.task == 'retrieval'"
INTERPRETER = "${command:python.interpreterPath}"
JSON = dict[str, Any]


def vscode_files(template: Path = TEMPLATE) -> dict[str, JSON]:
    """The contents of each file, by its name."""
    # Conditional ones first: behind each of them is another entry, so that its comma can be left out with it.
    paths = sorted(
        (template / ".idea/runConfigurations").iterdir(), key=lambda path: (path.suffix == ".xml", path.name)
    )
    paths = [path for path in paths if path.suffix == ".xml" or CONDITIONAL.fullmatch(path.name)]
    all_configurations = [_configuration(path) for path in paths]
    runs = [
        configuration
        for configuration in all_configurations
        if configuration.attrib["type"] != "CompoundRunConfigurationType"
    ]
    compounds = [configuration for configuration in all_configurations if configuration not in runs]
    return {
        "extensions.json": {"recommendations": EXTENSIONS},
        "launch.json": {
            "version": "0.2.0",
            "configurations": [launch(configuration) for configuration in runs],
            "compounds": [compound(configuration) for configuration in compounds],
        },
        "settings.json": settings(template),
        "tasks.json": {"version": "2.0.0", "tasks": [task(configuration) for configuration in runs]},
    }


def _configuration(path: Path) -> Element:
    """The run configuration of a file, with the condition in its name."""
    found = ElementTree.parse(path).getroot()[0]
    if name := CONDITIONAL.fullmatch(path.name):
        found.attrib[CONDITION] = name["condition"]
    return found


def _condition(configuration: Element) -> JSON:
    return {CONDITION: configuration.attrib[CONDITION]} if CONDITION in configuration.attrib else {}


def launch(configuration: Element) -> JSON:
    """The launch entry of a run configuration, for "Run and Debug"."""
    given = options(configuration)
    module, arguments = program(configuration)
    target = {"module": module} if module else {"program": workspace_path(given["SCRIPT_NAME"])}
    return {
        **_condition(configuration),
        "name": configuration.attrib["name"],
        "type": "debugpy",
        "request": "launch",
        **target,
        "args": arguments,
        "cwd": "${workspaceFolder}",
        "console": "integratedTerminal",
        "justMyCode": False,
        "presentation": {"group": configuration.attrib["folderName"]},
    }


def compound(configuration: Element) -> JSON:
    """The entry that starts several launch entries at once."""
    return {
        "name": configuration.attrib["name"],
        "configurations": [member.attrib["name"] for member in configuration.iter("toRun")],
        "stopAll": False,
        "presentation": {"group": configuration.attrib["folderName"]},
    }


def task(configuration: Element) -> JSON:
    """The task of a run configuration, without a debugger."""
    module, arguments = program(configuration)
    start = ["-m", module] if module else [workspace_path(options(configuration)["SCRIPT_NAME"])]
    return {
        **_condition(configuration),
        "label": configuration.attrib["name"],
        "type": "process",
        "command": INTERPRETER,
        "args": [*start, *arguments],
        "options": {"cwd": "${workspaceFolder}"},
        "group": "test" if configuration.attrib["type"] == "tests" else "none",
        "problemMatcher": [],
    }


def settings(template: Path) -> JSON:
    """Tests, JSON Schema, spelling, and folders excluded from search and file watching."""
    mappings = [
        {option.attrib["name"]: option.attrib.get("value", "") for option in mapping.iter("option")}
        for mapping in ElementTree.parse(template / ".idea/jsonSchemas.xml").getroot().iter("SchemaInfo")
    ]
    words = ElementTree.parse(template / ".idea/dictionaries/project.xml").getroot().iter("w")
    (module,) = (template / ".idea").glob("*.iml")
    excluded = [
        folder.attrib["url"].removeprefix("file://$MODULE_DIR$/")
        for folder in ElementTree.parse(module).getroot().iter("excludeFolder")
    ]
    return {
        "python.testing.pytestEnabled": True,
        "python.testing.pytestArgs": ["tests"],
        "python.analysis.extraPaths": ["src"],
        "[python]": {"editor.defaultFormatter": "charliermarsh.ruff"},
        "yaml.schemas": {mapping["relativePathToSchema"]: mapping["path"] for mapping in mappings},
        "cSpell.words": [str(word.text) for word in words],
        "search.exclude": dict.fromkeys(excluded, True),
        "files.watcherExclude": {f"{folder}/**": True for folder in excluded},
    }


def program(configuration: Element) -> tuple[str, list[str]]:
    """The module (empty for a script) and its arguments, none of which holds quotes or spaces."""
    given = options(configuration)
    if configuration.attrib["type"] == "tests":
        target, extra = json.loads(given["_new_target"]), json.loads(given["_new_additionalArguments"])
        return "pytest", [target.removeprefix("$PROJECT_DIR$/"), *extra.split()]
    parameters = re.sub(r"\{\{ (.*?) \}\}", r"{{\1}}", given["PARAMETERS"])  # so that a Jinja expression is not split
    arguments = parameters.split()
    return (given["SCRIPT_NAME"] if given["MODULE_MODE"] == "true" else ""), arguments


def options(configuration: Element) -> dict[str, str]:
    return {option.attrib["name"]: option.attrib["value"] for option in configuration.iter("option")}


def workspace_path(path: str) -> str:
    return path.replace("$PROJECT_DIR$", "${workspaceFolder}")


def text(content: JSON) -> str:
    """A file of the template, with Jinja around the entries that only some answers have."""
    written = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    entry = re.compile(rf'(?<=\n    )\{{\n +"{CONDITION}": "(.+?)",\n(.*?\n    \}},\n    )', re.DOTALL)
    written = entry.sub(r"{% if \1 %}{\n\2{% endif %}", written)
    mapping = re.compile(r'^( +)("schemas/pipeline\.schema\.json": ".+?",)\n\1', re.MULTILINE)
    return mapping.sub(rf"\1{{% if {RETRIEVAL} %}}\2\n\1{{% endif %}}", written)


def main() -> None:
    """Write all files."""
    folder = TEMPLATE / ".vscode"
    folder.mkdir(exist_ok=True)
    for name, content in vscode_files().items():
        (folder / FILE_NAME.format(name)).write_text(text(content), encoding="utf-8")


if __name__ == "__main__":
    main()
