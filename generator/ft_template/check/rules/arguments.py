"""Arguments: PyCharm has no shell, and what a shell would replace, it passes on."""

import re
from collections.abc import Iterator

from ..fault import Place, Violation
from ..project.configuration import Configuration
from ..project.project import Project
from .rule import rule

FOR_A_SHELL = re.compile(r"['`|&;<>*?]|\$[\w{(]|(?<!\S)~")


@rule("arguments.shell", "write what is meant: PyCharm passes it on as it stands")
def no_shell_is_expected(project: Project) -> Iterator[Violation]:
    for place, text in argument_texts(project):
        if found := FOR_A_SHELL.search(re.sub(r"\$(PROJECT|MODULE)_DIR\$", "", text)):
            yield place, f"{found[0]} means nothing to PyCharm"


@rule("arguments.macro", "name the file from the working directory on")
def no_macro_is_split(project: Project) -> Iterator[Violation]:
    """PyCharm replaces it before it splits, so that a project in `my folder` becomes two arguments."""
    for place, text in argument_texts(project):
        if found := re.search(r"\$(PROJECT|MODULE)_DIR\$", text):
            yield place, f"{found[0]} falls apart where the project's path has a blank"


@rule("arguments.quotes", "close the quote")
def quotes_are_closed(project: Project) -> Iterator[Violation]:
    for place, text in argument_texts(project):
        if len(re.findall(r'(?<!\\)"', text)) % 2:
            yield place, 'a " is open to the end'


@rule("arguments.blanks", "use names without blanks, quotes and backslashes", note=True)
def every_program_splits_alike(project: Project) -> Iterator[Violation]:
    """PyCharm, shells and VS Code differ in quotes and backslashes, and in what is a blank."""
    for place, text in argument_texts(project):
        if found := re.search(r'["\\]|[^\S ]', text):
            yield place, f"other programs may read the {found[0]!r} in it otherwise"


def argument_texts(project: Project) -> Iterator[tuple[Place, str]]:
    for found in project.python_configurations:
        yield from given(found, "PARAMETERS", "INTERPRETER_OPTIONS")
    for found in project.test_configurations:
        yield from given(found, "INTERPRETER_OPTIONS")


def given(found: Configuration, *names: str) -> Iterator[tuple[Place, str]]:
    for name in names:
        yield found.option_place(name), found.option(name)
