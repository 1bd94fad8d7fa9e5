"""The files in .idea: well-formed, of the right component, and valid on every machine."""

import os
import re
from collections.abc import Iterator

from ...parsing import parse_json, parse_toml
from ..fault import Place, Violation
from ..project.arguments import split
from ..project.document import Node
from ..project.macros import unknown
from ..project.project import Project
from .rule import rule

COMPONENTS = {
    "modules.xml": "ProjectModuleManager",
    "jsonSchemas.xml": "JsonSchemaMappingsProjectConfiguration",
    "pyProjectModel.xml": "PyProjectModelSettings",
    "vcs.xml": "VcsDirectoryMappings",
    "encodings.xml": "Encoding",
}
"""The component that PyCharm reads in each file; it silently ignores a component of another name."""

MACHINE = re.compile(r"(file://)?(/|~/|[A-Za-z]:[\\/]|\\\\|\$USER_HOME\$)")


@rule("project.pyproject", "write valid TOML with a [project] table and its name")
def pyproject_is_readable(project: Project) -> Iterator[Violation]:
    """The module has the name of the distribution, so that pyproject.toml must give one."""
    place = Place("pyproject.toml")
    text = project.text(project.root / place.file)
    if text is None:
        if place.file not in project.refused:
            yield place, "it is missing"
        return
    try:
        document = parse_toml(text)
    except ValueError as error:
        yield place, f"it is not TOML ({error})"
    else:
        if not isinstance(document.get("project"), dict) or not document["project"].get("name"):
            yield place, "[project] has no name"


@rule("idea.readable", "restore or correct the file")
def files_are_readable(project: Project) -> Iterator[Violation]:
    """PyCharm logs an unreadable file, and continues without it."""
    assert project.documents is not None  # reading them fills `unreadable`
    yield from project.unreadable


@rule("idea.component", "write the root element and the component as PyCharm does")
def components_are_known(project: Project) -> Iterator[Violation]:
    for name, document in project.idea_documents.items():
        expected = COMPONENTS.get(name.removeprefix(".idea/"))
        if expected and (document.tag, document.get("version")) != ("project", "4"):
            yield document.place, f'its root is not <project version="4"> but <{document.tag}>'
        elif expected:
            for component in document.children:
                if (component.tag, component.get("name")) != ("component", expected):
                    yield component.place, f'<{component.tag} name="{component.get("name")}"> is not {expected}'


@rule(
    "idea.pyproject-model",
    'set usePyprojectToml to "false", with no other option than showConfigurationNotification',
    note=True,
)
def modules_are_kept(project: Project) -> Iterator[Violation]:
    """Otherwise newer versions synchronize the module with pyproject.toml: they rewrite the .iml, no more."""
    document = project.idea_documents.get(".idea/pyProjectModel.xml")
    given = {option.get("name"): option.get("value") for option in document.walk("option")} if document else {}
    if document and given.get("usePyprojectToml") != "false":
        yield document.place, "PyCharm may rewrite the module file"
    if document and given.keys() - {"usePyprojectToml", "showConfigurationNotification"}:
        yield document.place, "it has options that PyCharm ignores"


@rule("idea.macro", "use $PROJECT_DIR$ or $MODULE_DIR$")
def macros_are_known(project: Project) -> Iterator[Violation]:
    """An unknown macro is left in the path unexpanded."""
    for node, text in texts(project):
        for macro in unknown(text):
            yield node.place, f"PyCharm does not expand {macro}"


@rule("idea.machine-path", "begin the path with $PROJECT_DIR$ or $MODULE_DIR$")
def no_path_of_one_machine(project: Project) -> Iterator[Violation]:
    for node, text in texts(project):
        for part in [text, *split(text)]:
            if MACHINE.match(part.partition("=")[2] or part):
                yield node.place, f"{part} is a path on one machine"
                break


@rule("idea.backslash", "use slashes, which work on Windows, too")
def no_backslashes(project: Project) -> Iterator[Violation]:
    for node, text in texts(project):
        if "\\" in text:
            yield node.place, f"{text} contains a backslash, which is part of the name on Linux and macOS"


@rule("dictionary.words", "write a <dictionary> of lower-case <w> in a component named ProjectDictionaryState")
def dictionary_is_one(project: Project) -> Iterator[Violation]:
    for name, document in project.idea_documents.items():
        if name.startswith(".idea/dictionaries/"):
            if (document.tag, document.get("name")) != ("component", "ProjectDictionaryState"):
                yield document.place, "PyCharm does not read it as a dictionary"
            for word in document.walk("w"):
                if word.text != word.text.strip().lower():
                    yield word.place, f"the word '{word.text}' never matches"


@rule("vcs.repository", "run git init, or delete the file")
def mapped_folders_are_repositories(project: Project) -> Iterator[Violation]:
    document = project.idea_documents.get(".idea/vcs.xml")
    for mapping in document.walk("mapping") if document else ():
        folder = project.root / project.expand(mapping.get("directory"))
        if mapping.get("vcs") == "Git" and not os.path.exists(folder / ".git"):
            yield mapping.place, "it maps a folder that is not a git repository: PyCharm shows a warning"


def texts(project: Project) -> Iterator[tuple[Node, str]]:
    """Every attribute and text of what is ours; JSON in the fields of test configurations is decoded."""
    foreign = {id(node) for one in project.configurations if not one.is_known for node in one.node.walk()}
    for document in project.documents.values():
        for node in document.walk():
            if id(node) in foreign:
                continue
            for name, value in node.attributes.items():
                if name == "value" and node.get("name").startswith("_new_"):
                    yield node, decoded(value)
                else:
                    yield node, value
            if node.text.strip():
                yield node, node.text


def decoded(value: str) -> str:
    """The value of a JSON string; other texts unchanged, for which there is a rule."""
    try:
        found = parse_json(value)
    except ValueError:
        return value
    return found if isinstance(found, str) else value
