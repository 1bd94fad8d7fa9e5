"""modules.xml and the module file: roots, excluded folders and the interpreter."""

import os
from collections.abc import Iterator

from ..fault import Place, Violation
from ..project.project import Project
from .rule import rule

MODULES_XML = Place(".idea/modules.xml")
LARGE = (".venv", "runs", "models")
"""Folders with many or large files, which PyCharm should not index."""

NEEDED = (".run", "configs", "schemas", "src", "tests")
"""Folders that PyCharm needs for running, completion and tests."""

DOCSTRINGS = {"PLAIN": "Plain", "REST": "reStructuredText", "NUMPY": "NumPy", "GOOGLE": "Google"}


@rule("modules.file", "write a ProjectModuleManager with a <module>, or restore the file")
def a_module_is_named(project: Project) -> Iterator[Violation]:
    """Without a module PyCharm creates one that has no roots."""
    if not project.module_entries:
        yield MODULES_XML, "it names no module"


@rule("modules.path", "set fileurl and filepath to the same existing file")
def module_files_exist(project: Project) -> Iterator[Violation]:
    for entry in project.module_entries:
        path = entry.get("filepath")
        if entry.get("fileurl") != f"file://{path}":
            yield entry.place, f"fileurl and filepath ({path}) differ"
        if not os.path.isfile(project.expand(path)):
            yield entry.place, f"{path} does not exist"


@rule("module.name", "give the module file the name of [project] in pyproject.toml")
def module_is_named_like_the_distribution(project: Project) -> Iterator[Violation]:
    """PyCharm renames the module after pyproject.toml, which breaks references to the old name."""
    for module in project.modules:
        if project.distribution and module.name != project.distribution:
            yield (
                module.node.place,
                f"the module is named {module.name}, the project in pyproject.toml {project.distribution}",
            )


@rule("module.type", 'write <module type="PYTHON_MODULE" version="4">')
def module_is_a_python_module(project: Project) -> Iterator[Violation]:
    """PyCharm looks for an interpreter only for Python modules."""
    for module in project.modules:
        if module.node.tag != "module" or module.node.get("type") != "PYTHON_MODULE":
            yield module.node.place, f"it is of type '{module.node.get('type')}'"


@rule("module.interpreter", 'write <orderEntry type="inheritedJdk" />')
def module_has_an_interpreter(project: Project) -> Iterator[Violation]:
    for module in project.modules:
        kinds = [entry.get("type") for entry in module.node.walk("orderEntry")]
        if kinds.count("inheritedJdk") + kinds.count("jdk") != 1:
            yield module.node.place, "it does not inherit the project's interpreter"


@rule("module.interpreter-named", 'write <orderEntry type="inheritedJdk" /> before you commit the file', note=True)
def module_names_no_interpreter(project: Project) -> Iterator[Violation]:
    """PyCharm writes the name when an interpreter is set; it differs on other machines."""
    for module in project.modules:
        for entry in module.node.walk("orderEntry"):
            if "jdkName" in entry.attributes:
                yield entry.place, f"it names an interpreter of this machine, '{entry.get('jdkName')}'"


@rule("module.sources", 'write <orderEntry type="sourceFolder" forTests="false" />')
def module_uses_its_sources(project: Project) -> Iterator[Violation]:
    for module in project.modules:
        if "sourceFolder" not in [entry.get("type") for entry in module.node.walk("orderEntry")]:
            yield module.node.place, "it does not include its own sources"


@rule("module.content", 'write <content url="file://$MODULE_DIR$">')
def project_is_content(project: Project) -> Iterator[Violation]:
    for module in project.modules:
        if module.directory not in [root.path for root in module.content_roots]:
            yield module.node.place, "the project's folder is not a content root"


@rule("module.root-exists", "create the folder, or remove the line")
def roots_exist(project: Project) -> Iterator[Violation]:
    for module in project.modules:
        for root in [*module.content_roots, *module.source_roots]:
            if not os.path.isdir(root.path):
                yield root.place, f"{project.name(root.path)} is not a folder"


@rule("module.source-root", 'add the folder as a <sourceFolder> with isTestSource="false"')
def packages_are_in_source_roots(project: Project) -> Iterator[Violation]:
    """Otherwise PyCharm does not resolve imports of the project's package."""
    folders = project.settings("tool", "setuptools", "packages", "find", "where")
    yield from missing_roots(project, folders, are_tests=False)


@rule("module.test-root", 'add the folder as a <sourceFolder> with isTestSource="true"')
def tests_are_in_test_roots(project: Project) -> Iterator[Violation]:
    folders = project.settings("tool", "pytest", "ini_options", "testpaths")
    yield from missing_roots(project, folders, are_tests=True)


@rule("module.root-excluded", "remove the <excludeFolder>")
def no_root_is_excluded(project: Project) -> Iterator[Violation]:
    for module in project.modules:
        for root in [*module.content_roots, *module.source_roots]:
            if module.excludes(root.path):
                yield root.place, f"{project.name(root.path)} is a root inside an excluded folder"


@rule("module.excluded", "add the folder as an <excludeFolder>")
def outputs_are_excluded(project: Project) -> Iterator[Violation]:
    for module in project.modules:
        for name in LARGE:
            if not module.excludes(project.root / name):
                yield module.node.place, f"PyCharm would index {name}"


@rule("module.hidden", "remove the <excludeFolder> or <excludePattern>")
def nothing_needed_is_excluded(project: Project) -> Iterator[Violation]:
    """Excluded configs have no completion, and run configurations in an excluded folder do not exist."""
    for module in project.modules:
        for name in NEEDED:
            if module.excludes(project.root / name):
                yield module.node.place, f"PyCharm would not see {name}"
        for path in (project.root / ".run").glob("*.run.xml"):
            if module.excludes(path):
                yield module.node.place, f"PyCharm would not see {project.name(path)}"


@rule("module.test-runner", 'set PROJECT_TEST_RUNNER to "py.test"')
def tests_are_run_by_pytest(project: Project) -> Iterator[Violation]:
    """With another runner the arrows beside the tests would not start pytest."""
    for module in project.modules:
        for component in module.node.named("component"):
            if component.get("name") == "TestRunnerService":
                for option in component.named("option"):
                    if (option.get("name"), option.get("value")) != ("PROJECT_TEST_RUNNER", "py.test"):
                        yield option.place, f"{option.get('name')} is '{option.get('value')}'"


@rule("module.docstrings", "use matching values such as GOOGLE and Google, or PLAIN and Plain")
def docstring_format_is_known(project: Project) -> Iterator[Violation]:
    for module in project.modules:
        for component in module.node.named("component"):
            if component.get("name") == "PyDocumentationSettings":
                given = {option.get("name"): option.get("value") for option in component.named("option")}
                if DOCSTRINGS.get(given.get("format", "")) != given.get("myDocStringFormat"):
                    yield (
                        component.place,
                        f"format {given.get('format')} does not match {given.get('myDocStringFormat')}",
                    )


def missing_roots(project: Project, folders: list[str], are_tests: bool) -> Iterator[Violation]:
    for module in project.modules:
        roots = [root.path for root in module.source_roots if root.is_test is are_tests]
        for folder in folders:
            if project.root / folder not in roots:
                yield (
                    module.node.place,
                    f"{folder}, listed in pyproject.toml, is not a {'test' if are_tests else 'source'} root",
                )
