"""Arguments of run configurations: PyCharm uses no shell, so that shell syntax is passed on unchanged."""

import re
from collections.abc import Iterator

from ..fault import Place, Violation
from ..project.configuration import Configuration
from ..project.project import Project
from .rule import rule

FOR_A_SHELL = re.compile(r"['`|&;<>*?]|\$[\w{(]|(?<!\S)~")


@rule("arguments.shell", "write the value itself: PyCharm passes shell syntax on unchanged")
def no_shell_is_expected(project: Project) -> Iterator[Violation]:
    for place, text in argument_texts(project):
        if match := FOR_A_SHELL.search(re.sub(r"\$(PROJECT|MODULE)_DIR\$", "", text)):
            yield place, f"{match[0]} is shell syntax, which PyCharm does not interpret"


@rule("arguments.macro", "use a path relative to the working directory")
def no_macro_is_split(project: Project) -> Iterator[Violation]:
    """PyCharm expands macros before it splits, so that a project path with a space becomes two arguments."""
    for place, text in argument_texts(project):
        if match := re.search(r"\$(PROJECT|MODULE)_DIR\$", text):
            yield place, f"{match[0]} becomes several arguments if the project's path contains a space"


@rule("arguments.quotes", "close the quote")
def quotes_are_closed(project: Project) -> Iterator[Violation]:
    for place, text in argument_texts(project):
        if len(re.findall(r'(?<!\\)"', text)) % 2:
            yield place, 'it has an unclosed "'


@rule("arguments.blanks", "use names without spaces, quotes and backslashes", note=True)
def every_program_splits_alike(project: Project) -> Iterator[Violation]:
    """PyCharm, shells and VS Code treat quotes, backslashes and white space differently."""
    for place, text in argument_texts(project):
        if match := re.search(r'["\\]|[^\S ]', text):
            yield place, f"other programs may read its {match[0]!r} differently"


def argument_texts(project: Project) -> Iterator[tuple[Place, str]]:
    for configuration in project.python_configurations:
        yield from given(configuration, "PARAMETERS", "INTERPRETER_OPTIONS")
    for configuration in project.test_configurations:
        yield from given(configuration, "INTERPRETER_OPTIONS")


def given(configuration: Configuration, *names: str) -> Iterator[tuple[Place, str]]:
    for name in names:
        yield configuration.option_place(name), configuration.option(name)
