"""The form of the run configurations: what PyCharm would drop, misread or write otherwise."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePath

from ..fault import Place, Violation
from ..project.configuration import FACTORIES, PYTHON, TESTS, Configuration
from ..project.project import RUN_CONFIGURATIONS, Project
from .rule import rule

ATTRIBUTES = {
    "default",
    "name",
    "type",
    "factoryName",
    "folderName",
    "singleton",
    "temporary",
    "editBeforeRun",
    "activateToolWindowBeforeRun",
    "focusToolWindowBeforeRun",
    "nameIsGenerated",
}
ELEMENTS = {
    "configuration": {"module", "envs", "option", "method", "toRun", "EXTENSION", "PathMappingSettings"},
    "envs": {"env"},
    "method": {"option"},
}
"""What PyCharm reads in an element."""

COMMON = (
    "module",
    "ENV_FILES",
    "INTERPRETER_OPTIONS",
    "PARENT_ENVS",
    "envs",
    "SDK_HOME",
    "WORKING_DIRECTORY",
    "IS_MODULE_SDK",
    "ADD_CONTENT_ROOTS",
    "ADD_SOURCE_ROOTS",
    "DEBUG_JUST_MY_CODE",
    "RUN_TOOL",
)
WRITTEN = {
    PYTHON: (
        *COMMON,
        "SCRIPT_NAME",
        "PARAMETERS",
        "SHOW_COMMAND_LINE",
        "EMULATE_TERMINAL",
        "MODULE_MODE",
        "REDIRECT_INPUT",
        "INPUT_FILE",
        "method",
    ),
    TESTS: (
        *COMMON,
        "_new_keywords",
        "_new_parameters",
        "_new_additionalArguments",
        "_new_target",
        "_new_targetType",
        "method",
    ),
}
"""What PyCharm writes for a type, in its order."""

NOT_ALWAYS = {"module", "envs", "ENV_FILES", "DEBUG_JUST_MY_CODE", "RUN_TOOL"}
"""What some versions of PyCharm, or some types, do without."""

ALSO_KNOWN = {"SDK_NAME", "RUN_AS_SCRIPT", "_new_pattern"}
BOOLEANS = {
    "PARENT_ENVS",
    "IS_MODULE_SDK",
    "ADD_CONTENT_ROOTS",
    "ADD_SOURCE_ROOTS",
    "DEBUG_JUST_MY_CODE",
    "RUN_TOOL",
    "RUN_AS_SCRIPT",
    "SHOW_COMMAND_LINE",
    "EMULATE_TERMINAL",
    "MODULE_MODE",
    "REDIRECT_INPUT",
}


@rule("run.envelope", f'write <component name="{RUN_CONFIGURATIONS}"> with one <configuration>, or delete the file')
def files_hold_a_configuration(project: Project) -> Iterator[Violation]:
    """PyCharm passes over another root, and in .idea over every configuration but the first."""
    for name, node in project.configuration_files.items():
        count = len(node.named("configuration"))
        if (node.tag, node.get("name")) != ("component", RUN_CONFIGURATIONS):
            yield node.place, "PyCharm does not take it for a run configuration"
        elif not count or (count > 1 and name.startswith(".idea/")):
            yield node.place, f"it holds {count} configurations, of which PyCharm reads {min(count, 1)}"


@rule("run.name", 'write a name, and default="false"; a template has default="true" and no name')
def configurations_have_names(project: Project) -> Iterator[Violation]:
    for found in project.configurations:
        if found.is_template is bool(found.name):
            yield found.place, "a template has a name" if found.name else "it has no name, and PyCharm drops it"


@rule("run.unique", "rename or delete one of them")
def names_are_unique(project: Project) -> Iterator[Violation]:
    """Two of one type and name shadow each other, wherever they lie."""
    seen: dict[tuple[str, str], Place] = {}
    for found in project.configurations:
        first = seen.setdefault((found.type, found.name), found.place)
        if first != found.place:
            yield found.place, f"'{found.name}' is in {first} too"


@rule("run.type", "use PythonConfigurationType, tests or CompoundRunConfigurationType")
def types_are_known(project: Project) -> Iterator[Violation]:
    for found in project.configurations:
        if found.type not in FACTORIES:
            yield found.place, f"PyCharm knows the type '{found.type}' only by a plugin, or not at all"


@rule("run.factory", "write Python for PythonConfigurationType, py.test for tests, and none for a compound")
def factories_are_known(project: Project) -> Iterator[Violation]:
    """`pytest` makes an unknown configuration."""
    for found in project.configurations:
        factory = found.node.get("factoryName")
        if found.type in FACTORIES and factory not in FACTORIES[found.type]:
            yield found.place, f"{found.type} has no factory '{factory}'"


@rule("run.shell", "start a Python script instead")
def no_shell_scripts(project: Project) -> Iterator[Violation]:
    for found in project.configurations:
        if found.type == "ShConfigurationType":
            yield found.place, "its interpreter's path differs between systems, and PyCharm marks it red where it fails"


@rule("run.attribute", f"use only {', '.join(sorted(ATTRIBUTES))}")
def attributes_are_known(project: Project) -> Iterator[Violation]:
    for found in project.configurations:
        for attribute in sorted(found.node.attributes.keys() - ATTRIBUTES):
            yield found.place, f"PyCharm drops the attribute {attribute}"


@rule("run.element", "correct its name or its place, and give an option a name and a value")
def elements_are_known(project: Project) -> Iterator[Violation]:
    for found in project.configurations:
        for node in found.node.walk():
            inside = ELEMENTS.get(node.tag, set())
            for child in node.children if node.tag in ELEMENTS else ():
                if child.tag not in inside:
                    yield child.place, f"PyCharm drops <{child.tag}> in <{node.tag}>"
        for option in found.node.named("option"):
            if not {"name", "value"} <= option.attributes.keys():
                yield option.place, "an option lacks its name or its value"


@rule("run.option", "correct its spelling, or take it out")
def options_are_known(project: Project) -> Iterator[Violation]:
    for found in of_written_type(project):
        for node in found.node.named("option"):
            name = node.get("name")
            if name not in ALSO_KNOWN and name not in WRITTEN[found.type]:
                yield node.place, f"PyCharm drops the option {name}"


@rule("run.option-twice", "keep one of them")
def options_are_given_once(project: Project) -> Iterator[Violation]:
    for found in of_written_type(project):
        counts = Counter(node.get("name") for node in found.node.named("option"))
        for name, count in counts.items():
            if count > 1:
                yield found.option_place(name), f"{name} is given {count} times"


@rule("run.boolean", "write true or false")
def booleans_are_booleans(project: Project) -> Iterator[Violation]:
    for found in project.configurations:
        for name in ("default", "singleton"):
            if found.node.get(name, "false") not in ("true", "false"):
                yield found.place, f"PyCharm takes {name} '{found.node.get(name)}' for false"
    for found in of_written_type(project):
        for node in found.node.named("option"):
            name, value = node.get("name"), node.get("value")
            absent = name in ("RUN_TOOL", "RUN_AS_SCRIPT") and not value  # which have a third meaning
            if name in BOOLEANS and value not in ("true", "false") and not absent:
                yield node.place, f"PyCharm takes {name} '{value}' for {str(value.lower() == 'true').lower()}"


@rule("run.interpreter", 'write <option name="IS_MODULE_SDK" value="true" />')
def interpreter_is_the_modules(project: Project) -> Iterator[Violation]:
    """Absent means false."""
    for found in of_written_type(project):
        if not found.flag("IS_MODULE_SDK"):
            yield found.option_place("IS_MODULE_SDK"), "it does not take the module's interpreter, and names no other"


@rule("run.interpreter-named", "take SDK_NAME out and leave SDK_HOME empty")
def no_interpreter_is_named(project: Project) -> Iterator[Violation]:
    for found in of_written_type(project):
        for name in ("SDK_NAME", "SDK_HOME"):
            if found.option(name):
                yield found.option_place(name), f"{name} '{found.option(name)}' is an interpreter of one machine"


@rule("run.run-tool", 'write <option name="RUN_TOOL" value="false" />')
def no_tool_starts_it(project: Project) -> Iterator[Violation]:
    """Where it is absent and the environment was made by uv, PyCharm starts `uv run`."""
    for found in of_written_type(project):
        if found.option("RUN_TOOL") != "false":
            yield found.option_place("RUN_TOOL"), "`uv run` may change the environment before each start"


@rule("run.module", "name the module of .idea/modules.xml")
def module_is_the_projects(project: Project) -> Iterator[Violation]:
    """A file in .idea is read before there is a module to take, and one of another name does not exist."""
    names = {module.name for module in project.modules}
    for found in of_written_type(project):
        given = [node.get("name") for node in found.node.named("module")]
        if found.in_idea and not any(given):
            yield found.place, "it names no module"
        for name in filter(None, given):
            if name not in names:
                yield found.node.named("module")[0].place, f"there is no module '{name}'"


@rule("run.environment", "give each <env> a name and a value, once")
def variables_have_values(project: Project) -> Iterator[Violation]:
    for found in of_written_type(project):
        names = set()
        for entry in found.node.walk("env"):
            if not entry.get("name") or "value" not in entry.attributes or entry.get("name") in names:
                yield entry.place, f"PyCharm drops the variable '{entry.get('name')}'"
            names.add(entry.get("name"))


@rule("run.method", 'write one <method v="2" />')
def tasks_are_its_own(project: Project) -> Iterator[Violation]:
    """Without it PyCharm adds the tasks of its template."""
    for found in project.configurations:
        if [node.get("v") for node in found.node.named("method")] != ["2"]:
            yield found.place, "the tasks before its start are not its own"


@rule("run.singleton", 'write singleton="true"', note=True)
def second_starts_are_refused(project: Project) -> Iterator[Violation]:
    for found in project.configurations:
        if not found.is_template and found.node.get("singleton") != "true":
            yield found.place, "it may be started twice at once, into the same run"


@rule("run.name-generated", "take nameIsGenerated out")
def names_are_kept(project: Project) -> Iterator[Violation]:
    for found in project.configurations:
        if found.node.get("nameIsGenerated"):
            yield found.place, "PyCharm renames it with its script, and compounds lose it"


@rule("run.extension", "take <EXTENSION> out", note=True)
def no_plugin_is_needed(project: Project) -> Iterator[Violation]:
    for found in project.configurations:
        for node in found.node.named("EXTENSION"):
            yield node.place, f"{node.get('ID')} belongs to a plugin that others may lack"


@rule("run.file-name", "rename the file", note=True)
def files_are_named_like_their_configurations(project: Project) -> Iterator[Violation]:
    for found in project.configurations:
        expected = re.sub(r"\W", "_", found.name)
        if found.in_idea and found.name and PurePath(found.place.file).stem != expected:
            yield found.place, f"PyCharm would write it to {expected}.xml"


@rule("run.round-trip", "write all options, in PyCharm's order")
def pycharm_would_write_the_same(project: Project) -> Iterator[Violation]:
    """Else the first edit in PyCharm changes lines that nobody edited."""
    for found in of_written_type(project):
        order = WRITTEN[found.type]
        keys = [node.get("name") if node.tag == "option" else node.tag for node in found.node.children]
        given = [key for key in keys if key in order]
        required = [key for key in order if key in given or key not in NOT_ALWAYS]
        if given != required and len(given) == len(set(given)):
            missing = [key for key in required if key not in given]
            yield found.place, f"it lacks {', '.join(missing)}" if missing else "its options are in another order"


def of_written_type(project: Project) -> list[Configuration]:
    """Python and test configurations, templates too."""
    return [found for found in project.configurations if found.type in WRITTEN]
