"""The XML of run configurations: what PyCharm drops, misreads or rewrites."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePath

from ..fault import Place, Violation
from ..project.configuration import FACTORIES, SHELL, Configuration
from ..project.project import RUN_CONFIGURATIONS, Project
from .known_options import ALSO_KNOWN, ATTRIBUTES, BOOLEANS, ELEMENTS, OPTIONAL, WRITTEN
from .rule import rule


@rule("run.envelope", f'write <component name="{RUN_CONFIGURATIONS}"> with one <configuration>, or delete the file')
def files_hold_a_configuration(project: Project) -> Iterator[Violation]:
    """PyCharm ignores files with another root element, and in .idea every configuration after the first."""
    for name, node in project.configuration_files.items():
        count = len(node.named("configuration"))
        if (node.tag, node.get("name")) != ("component", RUN_CONFIGURATIONS):
            yield node.place, "PyCharm does not read it as a run configuration"
        elif not count or (count > 1 and name.startswith(".idea/")):
            yield node.place, f"it contains {count} configurations, of which PyCharm reads {min(count, 1)}"


@rule("run.name", 'write a name, and default="false"; a template has default="true" and no name')
def configurations_have_names(project: Project) -> Iterator[Violation]:
    for configuration in project.configurations:
        if configuration.is_template is bool(configuration.name):
            yield (
                configuration.place,
                "it is a template with a name" if configuration.name else "it has no name: PyCharm drops it",
            )


@rule("run.unique", "rename or delete one of them")
def names_are_unique(project: Project) -> Iterator[Violation]:
    """Of two configurations with the same type and name PyCharm shows one, whatever their files."""
    seen: dict[tuple[str, str], Place] = {}
    for configuration in project.configurations:
        first = seen.setdefault((configuration.type, configuration.name), configuration.place)
        if first != configuration.place:
            yield configuration.place, f"'{configuration.name}' is defined in {first}, too"


@rule("run.type", "see that everyone has the plugin, or use one of the types that every PyCharm has", note=True)
def types_are_known(project: Project) -> Iterator[Violation]:
    for configuration in project.configurations:
        if not configuration.is_known and configuration.type != SHELL:
            yield configuration.place, f"the type '{configuration.type}' belongs to a plugin: it is not checked further"


@rule("run.factory", "write Python for PythonConfigurationType, py.test for tests, and none for a compound")
def factories_are_known(project: Project) -> Iterator[Violation]:
    """The factory `pytest` does not exist: PyCharm shows an unknown configuration."""
    for configuration in project.known_configurations:
        factory = configuration.node.get("factoryName")
        if factory not in FACTORIES[configuration.type]:
            yield configuration.place, f"{configuration.type} has no factory '{factory}'"


@rule("run.shell", "start a Python script instead, if others have to start it, too", note=True)
def no_shell_scripts(project: Project) -> Iterator[Violation]:
    for configuration in project.configurations:
        if configuration.type == SHELL:
            yield (
                configuration.place,
                "the path of its shell differs between systems, and PyCharm marks it as invalid where it is missing",
            )


@rule("run.attribute", f"use only {', '.join(sorted(ATTRIBUTES))}")
def attributes_are_known(project: Project) -> Iterator[Violation]:
    for configuration in project.known_configurations:
        for attribute in sorted(configuration.node.attributes.keys() - ATTRIBUTES):
            yield configuration.place, f"PyCharm ignores the attribute {attribute}"


@rule("run.element", "correct its name or position, and give an option a name and a value")
def elements_are_known(project: Project) -> Iterator[Violation]:
    for configuration in project.known_configurations:
        for node in configuration.node.walk():
            inside = ELEMENTS.get(node.tag, set())
            for child in node.children if node.tag in ELEMENTS else ():
                if child.tag not in inside:
                    yield child.place, f"PyCharm ignores <{child.tag}> in <{node.tag}>"
        for option in configuration.node.named("option"):
            if not {"name", "value"} <= option.attributes.keys():
                yield option.place, "an option lacks its name or its value"


@rule("run.option", "correct its spelling, or remove it")
def options_are_known(project: Project) -> Iterator[Violation]:
    for configuration in of_written_type(project):
        for node in configuration.node.named("option"):
            name = node.get("name")
            if name not in ALSO_KNOWN and name not in WRITTEN[configuration.type]:
                yield node.place, f"PyCharm ignores the option {name}"


@rule("run.option-twice", "keep one of them")
def options_are_given_once(project: Project) -> Iterator[Violation]:
    for configuration in of_written_type(project):
        counts = Counter(node.get("name") for node in configuration.node.named("option"))
        for name, count in counts.items():
            if count > 1:
                yield configuration.option_place(name), f"{name} is given {count} times"


@rule("run.boolean", "write true or false")
def booleans_are_booleans(project: Project) -> Iterator[Violation]:
    for configuration in project.known_configurations:
        for name in ("default", "singleton"):
            if configuration.node.get(name, "false") not in ("true", "false"):
                yield configuration.place, f"PyCharm reads {name} '{configuration.node.get(name)}' as false"
    for configuration in of_written_type(project):
        for node in configuration.node.named("option"):
            name, value = node.get("name"), node.get("value")
            absent = name in ("RUN_TOOL", "RUN_AS_SCRIPT") and not value  # empty is a third state
            if name in BOOLEANS and value not in ("true", "false") and not absent:
                yield node.place, f"PyCharm reads {name} '{value}' as {str(value.lower() == 'true').lower()}"


@rule("run.interpreter", 'write <option name="IS_MODULE_SDK" value="true" />')
def interpreter_is_the_modules(project: Project) -> Iterator[Violation]:
    """A missing option means false."""
    for configuration in of_written_type(project):
        if not configuration.flag("IS_MODULE_SDK"):
            yield (
                configuration.option_place("IS_MODULE_SDK"),
                "it does not use the module's interpreter, and names no other",
            )


@rule("run.interpreter-named", "remove SDK_NAME and leave SDK_HOME empty")
def no_interpreter_is_named(project: Project) -> Iterator[Violation]:
    for configuration in of_written_type(project):
        for name in ("SDK_NAME", "SDK_HOME"):
            if configuration.option(name):
                yield (
                    configuration.option_place(name),
                    f"{name} '{configuration.option(name)}' is an interpreter of one machine",
                )


@rule("run.run-tool", 'write <option name="RUN_TOOL" value="false" />')
def no_tool_starts_it(project: Project) -> Iterator[Violation]:
    """If the option is missing and uv created the environment, PyCharm starts `uv run`."""
    for configuration in of_written_type(project):
        if configuration.option("RUN_TOOL") != "false":
            yield configuration.option_place("RUN_TOOL"), "`uv run` may change the environment before each start"


@rule("run.module", "name the module in .idea/modules.xml")
def module_is_the_projects(project: Project) -> Iterator[Violation]:
    """PyCharm reads files in .idea before it can choose a default module."""
    names = {module.name for module in project.modules}
    for configuration in of_written_type(project):
        given = [node.get("name") for node in configuration.node.named("module")]
        if configuration.in_idea and not any(given):
            yield configuration.place, "it names no module"
        for name in filter(None, given):
            if name not in names:
                yield configuration.node.named("module")[0].place, f"there is no module '{name}'"


@rule("run.environment", "give each <env> a name and a value, once")
def variables_have_values(project: Project) -> Iterator[Violation]:
    for configuration in of_written_type(project):
        names = set()
        for entry in configuration.node.walk("env"):
            if not entry.get("name") or "value" not in entry.attributes or entry.get("name") in names:
                yield entry.place, f"PyCharm ignores the variable '{entry.get('name')}'"
            names.add(entry.get("name"))


@rule("run.method", 'write one <method v="2" />')
def tasks_are_its_own(project: Project) -> Iterator[Violation]:
    """Without <method> PyCharm adds the before-launch tasks of its template."""
    for configuration in project.known_configurations:
        if [node.get("v") for node in configuration.node.named("method")] != ["2"]:
            yield configuration.place, "PyCharm adds before-launch tasks of its template"


@rule("run.singleton", 'write singleton="true"', note=True)
def second_starts_are_refused(project: Project) -> Iterator[Violation]:
    for configuration in project.known_configurations:
        if not configuration.is_template and configuration.node.get("singleton") != "true":
            yield configuration.place, "it can be started twice at once, with the same run folder"


@rule("run.name-generated", "remove nameIsGenerated")
def names_are_kept(project: Project) -> Iterator[Violation]:
    for configuration in project.known_configurations:
        if configuration.node.get("nameIsGenerated"):
            yield configuration.place, "PyCharm renames it when its script changes, and compounds no longer find it"


@rule("run.extension", "remove <EXTENSION>", note=True)
def no_plugin_is_needed(project: Project) -> Iterator[Violation]:
    for configuration in project.known_configurations:
        for node in configuration.node.named("EXTENSION"):
            yield node.place, f"{node.get('ID')} belongs to a plugin, which others may not have"


@rule("run.file-name", "rename the file", note=True)
def files_are_named_like_their_configurations(project: Project) -> Iterator[Violation]:
    for configuration in project.known_configurations:
        expected = re.sub(r"\W", "_", configuration.name)
        if configuration.in_idea and configuration.name and PurePath(configuration.place.file).stem != expected:
            yield configuration.place, f"PyCharm would save it as {expected}.xml"


@rule("run.round-trip", "write all options, in PyCharm's order")
def pycharm_would_write_the_same(project: Project) -> Iterator[Violation]:
    """Otherwise the first edit in PyCharm changes lines that the user did not edit."""
    for configuration in of_written_type(project):
        order = WRITTEN[configuration.type]
        keys = [node.get("name") if node.tag == "option" else node.tag for node in configuration.node.children]
        given = [key for key in keys if key in order]
        required = [key for key in order if key in given or key not in OPTIONAL]
        if given != required and len(given) == len(set(given)):
            missing = [key for key in required if key not in given]
            yield (
                configuration.place,
                f"it lacks {', '.join(missing)}" if missing else "its options are in another order",
            )


def of_written_type(project: Project) -> list[Configuration]:
    """Python and test configurations, templates included."""
    return [configuration for configuration in project.known_configurations if configuration.type in WRITTEN]
