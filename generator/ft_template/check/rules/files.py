"""The IDE files themselves: readable, of the right kind, and the same on every machine."""

import json
import re
import tomllib
from collections.abc import Iterator

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
"""What PyCharm looks for in a file of the project; a component of another name is passed over without a word."""

MACHINE = re.compile(r"(file://)?(/|~/|[A-Za-z]:[\\/]|\\\\|\$USER_HOME\$)")


@rule("project.pyproject", "write it as setuptools reads it, with [project] and its name")
def pyproject_is_readable(project: Project) -> Iterator[Violation]:
    """The module and the distribution share their name, so there has to be one."""
    place = Place("pyproject.toml")
    try:
        document = tomllib.loads((project.root / place.file).read_text(encoding="utf-8"))
    except OSError:
        yield place, "it is missing"
    except ValueError as error:
        yield place, f"it is not TOML ({error})"
    else:
        if not isinstance(document.get("project"), dict) or not document["project"].get("name"):
            yield place, "it gives the project no name"


@rule("idea.readable", "restore the file, or mend what is there")
def files_are_readable(project: Project) -> Iterator[Violation]:
    """PyCharm logs a file that it cannot read, and goes on without it."""
    assert project.documents is not None  # reading them fills the list
    yield from project.unreadable


@rule("idea.component", "write the root and the component as PyCharm does")
def components_are_known(project: Project) -> Iterator[Violation]:
    for name, document in project.idea_documents.items():
        expected = COMPONENTS.get(name.removeprefix(".idea/"))
        if expected and (document.tag, document.get("version")) != ("project", "4"):
            yield document.place, f'its root is not <project version="4"> but <{document.tag}>'
        elif expected:
            for component in document.children:
                if (component.tag, component.get("name")) != ("component", expected):
                    yield component.place, f'<{component.tag} name="{component.get("name")}"> is not {expected}'


@rule("idea.pyproject-model", 'set usePyprojectToml to "false", and no more than showConfigurationNotification')
def modules_are_kept(project: Project) -> Iterator[Violation]:
    """Else newer versions make the modules anew from pyproject.toml, and drop what the module file says."""
    document = project.idea_documents.get(".idea/pyProjectModel.xml")
    given = {option.get("name"): option.get("value") for option in document.walk("option")} if document else {}
    if document and given.get("usePyprojectToml") != "false":
        yield document.place, "it does not keep PyCharm from rewriting the module"
    if document and given.keys() - {"usePyprojectToml", "showConfigurationNotification"}:
        yield document.place, "PyCharm drops some of its options"


@rule("idea.macro", "use $PROJECT_DIR$ or $MODULE_DIR$")
def macros_are_known(project: Project) -> Iterator[Violation]:
    """What is no path macro stays in the path as it is."""
    for node, text in texts(project):
        for macro in unknown(text):
            yield node.place, f"PyCharm does not replace {macro}"


@rule("idea.machine-path", "begin the path with $PROJECT_DIR$ or $MODULE_DIR$")
def no_path_of_one_machine(project: Project) -> Iterator[Violation]:
    for node, text in texts(project):
        for part in [text, *split(text)]:
            if MACHINE.match(part.partition("=")[2] or part):
                yield node.place, f"{part} is a path of one machine"
                break


@rule("idea.backslash", "write slashes, which Windows takes too")
def no_backslashes(project: Project) -> Iterator[Violation]:
    for node, text in texts(project):
        if "\\" in text:
            yield node.place, f"{text} has a backslash, which is a part of a name on Linux and macOS"


@rule("dictionary.words", "write a <dictionary> of lower-case <w> in a component named ProjectDictionaryState")
def dictionary_is_one(project: Project) -> Iterator[Violation]:
    for name, document in project.idea_documents.items():
        if name.startswith(".idea/dictionaries/"):
            if (document.tag, document.get("name")) != ("component", "ProjectDictionaryState"):
                yield document.place, "PyCharm takes it for no dictionary"
            for word in document.walk("w"):
                if word.text != word.text.strip().lower():
                    yield word.place, f"the word '{word.text}' never matches"


@rule("vcs.repository", "run git init, or delete the file")
def mapped_folders_are_repositories(project: Project) -> Iterator[Violation]:
    document = project.idea_documents.get(".idea/vcs.xml")
    for mapping in document.walk("mapping") if document else ():
        folder = project.root / project.expand(mapping.get("directory"))
        if mapping.get("vcs") == "Git" and not (folder / ".git").exists():
            yield mapping.place, "it maps a folder that is no git repository, of which PyCharm warns"


def texts(project: Project) -> Iterator[tuple[Node, str]]:
    """Every attribute and text in the order of the files; the JSON in a test's fields is decoded."""
    for document in project.documents.values():
        for node in document.walk():
            for name, value in node.attributes.items():
                if name == "value" and node.get("name").startswith("_new_"):
                    yield node, decoded(value)
                else:
                    yield node, value
            if node.text.strip():
                yield node, node.text


def decoded(value: str) -> str:
    """The text within a JSON string; what is none has a rule of its own."""
    try:
        return str(json.loads(value))
    except ValueError:
        return value
