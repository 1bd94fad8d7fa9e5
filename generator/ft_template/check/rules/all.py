"""All rules, in the order of the table in docs/pycharm.md."""

from types import ModuleType

from . import arguments, configuration, files, git, links, module, readable, schema, starting, testing, vscode
from .rule import Rule

MODULES: tuple[ModuleType, ...] = (
    files,
    module,
    configuration,
    starting,
    arguments,
    testing,
    links,
    schema,
    git,
    vscode,
    readable,
)
RULES = tuple(value for module in MODULES for value in vars(module).values() if isinstance(value, Rule))
