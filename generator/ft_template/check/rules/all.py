"""Every rule, a file for each thing that is looked at."""

from types import ModuleType

from . import arguments, configuration, files, git, links, module, schema, starting, testing, vscode
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
)
RULES = tuple(found for module in MODULES for found in vars(module).values() if isinstance(found, Rule))
