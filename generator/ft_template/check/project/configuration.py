"""A run configuration, with PyCharm's defaults for missing options."""

from __future__ import annotations

from dataclasses import dataclass

from ...parsing import parse_json
from ..fault import Place
from .arguments import split
from .document import Node

PYTHON, TESTS, COMPOUND, SHELL = (
    "PythonConfigurationType",
    "tests",
    "CompoundRunConfigurationType",
    "ShConfigurationType",
)
FACTORIES = {
    PYTHON: {"Python"},
    TESTS: {"py.test", "Unittests", "Autodetect"},
    COMPOUND: {""},
}
"""The types of our projects, which every PyCharm has, each with its factory names; `pytest` is not one of them."""

TRUE_BY_DEFAULT = {"PARENT_ENVS", "ADD_CONTENT_ROOTS", "ADD_SOURCE_ROOTS"}


@dataclass(frozen=True)
class Configuration:
    """One `<configuration>` element."""

    node: Node
    in_idea: bool
    """Whether it is in `.idea/runConfigurations`; otherwise it is in a `*.run.xml` file of the project."""

    @property
    def place(self) -> Place:
        return self.node.place

    @property
    def type(self) -> str:
        return self.node.get("type")

    @property
    def name(self) -> str:
        return self.node.get("name")

    @property
    def is_template(self) -> bool:
        """Whether it is the template for new configurations of this type."""
        return self.node.get("default") == "true"

    @property
    def is_known(self) -> bool:
        """Whether its type is one of ours; the others belong to the user and a plugin, and only they know the rules."""
        return self.type in FACTORIES

    @property
    def is_python(self) -> bool:
        return self.type == PYTHON and not self.is_template

    @property
    def is_test(self) -> bool:
        return self.type == TESTS and not self.is_template

    def option(self, name: str) -> str:
        """The value in the file, macros unexpanded; empty if the option is missing."""
        return next((node.get("value") for node in reversed(self.node.named("option")) if node.get("name") == name), "")

    def option_place(self, name: str) -> Place:
        """The place of an option; of the configuration if the option is missing."""
        return next((node.place for node in self.node.named("option") if node.get("name") == name), self.place)

    def flag(self, name: str) -> bool:
        """A boolean as Java reads it: every text but "true" is false; some options are true if missing."""
        value = self.option(name)
        return name in TRUE_BY_DEFAULT if not value else value.lower() == "true"

    @property
    def in_module_mode(self) -> bool:
        return self.flag("MODULE_MODE")

    @property
    def arguments(self) -> list[str]:
        return split(self.option("PARAMETERS"))

    @property
    def environment(self) -> dict[str, str]:
        """Its environment variables; PyCharm skips an entry without a value."""
        entries = [entry for envs in self.node.named("envs") for entry in envs.named("env")]
        return {entry.get("name"): entry.get("value") for entry in entries if "value" in entry.attributes}

    def test_field(self, name: str) -> str:
        """A field of a test configuration, stored as JSON in the attribute; raises ValueError if it is not."""
        value = parse_json(self.option(f"_new_{name}") or '""')
        if not isinstance(value, str):
            raise ValueError("not a JSON string")
        return value

    @property
    def members(self) -> list[tuple[tuple[str, str], Place]]:
        """The (type, name) of each configuration that a compound starts."""
        return [((node.get("type"), node.get("name")), node.place) for node in self.node.named("toRun")]

    @property
    def before_launch(self) -> list[Node]:
        """The before-launch tasks, which must succeed first."""
        return [task for method in self.node.named("method") for task in method.named("option")]

    @property
    def prerequisites(self) -> list[tuple[tuple[str, str], Place]]:
        """The (type, name) of each configuration among the before-launch tasks."""
        tasks = [task for task in self.before_launch if task.get("name") == "RunConfigurationTask"]
        return [
            ((task.get("run_configuration_type"), task.get("run_configuration_name")), task.place) for task in tasks
        ]
