"""The attributes, elements and options of a run configuration that PyCharm reads and writes."""

from ..project.configuration import PYTHON, TESTS

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
"""The child elements that PyCharm reads, by element."""

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
"""The options and elements that PyCharm writes for a type, in its order."""

OPTIONAL = {"module", "envs", "ENV_FILES", "DEBUG_JUST_MY_CODE", "RUN_TOOL"}
"""Those of WRITTEN that some versions of PyCharm do not write."""

ALSO_KNOWN = {"SDK_NAME", "RUN_AS_SCRIPT", "_new_pattern"}
"""Options that PyCharm reads but does not always write."""

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
